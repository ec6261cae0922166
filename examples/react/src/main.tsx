import { StrictMode } from 'react';
import { createRoot } from 'react-dom/client';
import { RosterdClient } from 'rosterd';
import { RosterdProvider } from 'rosterd/react';
import { App } from './App';

const query = new URLSearchParams(location.search);
// Outside of the components: it lives as long as the page.
const client = new RosterdClient({
  url: query.get('gateway') ?? 'ws://127.0.0.1:7678/v1/ws',
  account: query.get('as') ?? 'alice',
});
void client.connect();
import.meta.hot?.dispose(() => client[Symbol.dispose]());

createRoot(document.getElementById('root')!).render(
  <StrictMode>
    <RosterdProvider client={client}>
      <App />
    </RosterdProvider>
  </StrictMode>,
);
