import { digest, RosterdError } from 'rosterd';
import { Friends } from './friends';

// On the server: the package is imported here, nothing connects.
export default async function Page({ searchParams }) {
  const { gateway } = await searchParams;
  return (
    <main>
      <p id="server">{typeof RosterdError} {digest(new Map(), new Map())}</p>
      {gateway && <Friends gateway={gateway} />}
    </main>
  );
}
