// Shows the friends, without a framework; and says what is missing without an address.
import { RosterdClient } from 'rosterd';
import { NIM } from 'rosterd/nim';

const query = new URLSearchParams(location.search);
const show = (id, text) => (document.getElementById(id).textContent = text);

try {
  new RosterdClient({ account: 'alice' });
} catch (error) {
  show('missing', error.message);
}
const client = new RosterdClient({ account: 'alice', url: query.get('gateway') });
client.on('change', ({ connection, friends, users }) => {
  show('state', connection.state);
  show('friends', [...friends.keys()].map((account) => users.get(account)?.nick).sort().join());
});
client.connect();
const nim = NIM.getInstance({ account: 'bob', url: query.get('gateway'), onsyncdone: () => show('nim', nim.account) });
show('same', String(nim.client instanceof RosterdClient));
