'use client';

import { useEffect, useState } from 'react';
import { RosterdClient } from 'rosterd';
import { RosterdProvider, useConnection, useFriends } from 'rosterd/react';

export function Friends({ gateway }) {
  // Also drawn on the server, where nothing connects.
  const [client] = useState(() => new RosterdClient({ url: gateway, account: 'alice' }));
  useEffect(() => {
    client.connect();
    return () => void client.disconnect();
  }, [client]);
  return <RosterdProvider client={client}><List /></RosterdProvider>;
}

function List() {
  const { state } = useConnection();
  const friends = useFriends();
  return (
    <>
      <p id="state">{state}</p>
      <p id="friends">{friends.map(({ name }) => name).join()}</p>
    </>
  );
}
