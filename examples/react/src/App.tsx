import { memo, useState } from 'react';
import { useConnection, useFriends, useMe, useRequests, useRosterd, useUser } from 'rosterd/react';
import type { FriendView } from 'rosterd/react';

export function App() {
  const me = useMe();
  const { state, retryAt } = useConnection();
  return (
    <main>
      <h1>{me?.nick ?? '…'}</h1>
      <p role="status">{state}{retryAt && `, next attempt at ${new Date(retryAt).toLocaleTimeString()}`}</p>
      <Sign key={me?.version} sign={me?.sign ?? ''} />
      <Requests />
      <Friends />
      <LookUp />
    </main>
  );
}

function Sign({ sign }: { sign: string }) {
  const client = useRosterd();
  const [text, setText] = useState(sign);
  const [error, setError] = useState('');
  const save = () => client.updateMyInfo({ sign: text }).then(() => setError(''), (error: Error) => setError(error.message));
  return (
    <form action={save}>
      <label>Sign <input value={text} onChange={(event) => setText(event.target.value)} /></label> <button>Save</button>
      {error && <p role="alert">{error}</p>}
    </form>
  );
}

function Requests() {
  const client = useRosterd();
  const requests = useRequests('in');
  return requests.map(({ account, message }) => (
    <p key={account}>
      {account} asks: {message} <button onClick={() => client.acceptFriend(account)}>Accept</button>
    </p>
  ));
}

function Friends() {
  const friends = useFriends();
  return <ul>{friends.map((friend) => <Row key={friend.account} friend={friend} />)}</ul>;
}

// An entry is the same object until something about that friend changes, so only those rows are drawn again.
const Row = memo(function Row({ friend: { name, user, presence } }: { friend: FriendView }) {
  return <li>{presence?.online ? '● ' : '○ '}{name}: {user?.sign}</li>;
});

function LookUp() {
  const [account, setAccount] = useState('');
  return (
    <p>
      <label>Look at <input value={account} onChange={(event) => setAccount(event.target.value.trim())} /></label>
      {account && <Profile account={account} />}
    </p>
  );
}

/** Watches the account for as long as it is shown. */
function Profile({ account }: { account: string }) {
  const user = useUser(account);
  return <output> {user ? `${user.nick}: ${user.sign}` : 'nobody, or not yet here'}</output>;
}
