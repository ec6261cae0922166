// The page: what friends see of each other, and what only the game's server may change.
import { RosterdClient } from './rosterd.js';

const LOOKING = 'looking_for_group';
const $ = (selector) => document.querySelector(selector);
const gateway = new URLSearchParams(location.search).get('gateway') ?? 'ws://127.0.0.1:7678';
let client;

/** Does something, and shows why it failed. */
async function attempt(what) {
  $('#error').textContent = '';
  try {
    await what();
  } catch (error) {
    $('#error').textContent = error.message;
  }
}

function on(selector, event, what) {
  $(selector).addEventListener(event, (happened) => {
    happened.preventDefault();
    void attempt(() => what(happened.target));
  });
}

const isLooking = (account) => client.presence.get(account)?.status === LOOKING;

function show() {
  const { account, me } = client;
  $('#me').textContent = me?.nick || account;
  $('#level').textContent = me ? `level ${me.fields?.level}` : '';
  $('#group').setAttribute('aria-pressed', String(isLooking(account)));
  $('#group').textContent = isLooking(account) ? 'Stop looking for a group' : 'Look for a group';
  const rows = [...client.friends.keys()].sort().map((friend) => {
    const [user, presence, row] = [client.users.get(friend), client.presence.get(friend), document.createElement('li')];
    const { level, pronouns } = user?.fields ?? {};
    row.dataset.account = friend;
    row.className = presence?.online ? '' : 'dim';
    row.textContent = [
      user?.nick || friend, pronouns && `(${pronouns})`, level && `· level ${level}`,
      presence?.online ? '· online' : '· offline', isLooking(friend) && '· looking for a group',
    ].filter(Boolean).join(' ');
    return row;
  });
  $('#friends').replaceChildren(...rows);
}

on('#enter', 'submit', async (form) => {
  const account = form.elements.account.value;
  client = new RosterdClient({ url: `${gateway}/v1/ws`, account, token: account });
  for (const event of ['me', 'users', 'userUpdated', 'friends', 'friendRemoved', 'presence', 'synced']) client.on(event, show);
  await client.connect();
  form.hidden = true;
  $('main').hidden = false;
  $('#profile').elements.pronouns.value = client.me?.fields?.pronouns ?? '';
  show();
});

// The status goes with the player: nobody is shown to look for a group who is not there.
on('#group', 'click', () => client.setPresence({ status: isLooking(client.account) ? '' : LOOKING }));
on('#profile', 'submit', (form) => client.updateMyInfo({ fields: { pronouns: form.elements.pronouns.value || null } }));
on('#add', 'submit', async (form) => {
  await client.addFriend(form.elements.account.value);
  form.reset();
});
// Only the server can do this: a client that sets `level` is refused.
on('#win', 'click', async () => {
  const answer = await fetch('win', { method: 'POST', body: JSON.stringify({ account: client.account }) });
  if (!answer.ok) throw new Error(`the game's server says ${answer.status}`);
});
