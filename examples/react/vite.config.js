export default {
  // One React, although `rosterd` is linked from another folder.
  resolve: { dedupe: ['react', 'react-dom'] },
};
