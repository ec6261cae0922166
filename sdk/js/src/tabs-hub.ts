// The leader's side: one connection to the gateway, and the lines of the other tabs. To those this is the gateway: it answers
// their logins from what the leader holds, passes their commands on, and hands them every push.

import type { WebSocketLike } from './connection.js';
import { digest } from './digest.js';
import type { LoginReply, ServerFrame, User } from './protocol.js';
import type { Member } from './sharing.js';
import type { Carrier, Line, Over } from './tabs-line.js';

/** The ids of commands that do not come from the leader's own client begin here; the wire allows 2^53 − 1. */
const FOREIGN = 2 ** 40;
/** Friends in one frame of a catch-up: the page can do something else between the frames. */
const BATCH = 500;
/** How much of the latest changes is kept, in characters, for tabs that hold all but these. */
const RECENT_MAX = 1_000_000;

/** The close code of a session that another one replaces. */
const KICKED = 3503;
/** How long a kick may be another tab's doing. */
const DOUBT_MS = 100;

/** What the tabs say to each other in the inbox of a line. */
export interface ToLine {
  /** The leader can take a login. */
  lead?: string;
  /** The leader cannot take one yet. */
  hold?: true;
  text?: string;
  /** What is stored. */
  saved?: string | undefined;
  over?: Over;
}

/** What they say in the inbox of a hub. A line that ends says so with `bye`. */
export interface ToHub {
  from: string;
  text?: string;
  bye?: true;
}

/** A tab whose login was answered. */
interface Peer {
  gives(text: string): void;
  channel?: BroadcastChannel;
  watched: ReadonlySet<string>;
  /** When it was last heard. */
  heard: number;
}

type Frame = ServerFrame & { id?: number };

/** What a hub needs of the tab. */
export interface HubHandlers {
  channel(name: string): BroadcastChannel;
  /** The connection is live: logins can be answered. */
  live(): void;
  /** The cursor of what is stored. */
  stored(): string | undefined;
  over(over: Over): void;
}

/** Serves one connection of the leader to all tabs. */
export class Hub implements Carrier {
  readonly id = crypto.randomUUID();
  readonly #member: Member;
  readonly #handlers: HubHandlers;
  readonly #line: Line;
  readonly #socket: WebSocketLike;
  readonly #inbox: BroadcastChannel;
  readonly #own: Peer;
  readonly #peers = new Map<string, Peer>();
  readonly #pending = new Map<number, (frame: Frame) => void>();
  #lastId = FOREIGN;
  #live = false;
  #over = false;
  #goodbye?: string;
  #login?: LoginReply & { skew: number };
  #cursor?: string;
  // As the gateway sent it: the leader may show changes that it has not confirmed.
  #me?: User;
  // The frames that followed a cursor, so far back as they are kept.
  #recent: { cursor?: string | undefined; text?: string }[] = [];
  #recentSize = 0;
  // Lists are sent one after another, so that a refused one can be taken back.
  #watching: Promise<unknown> = Promise.resolve();
  // Profiles of watched strangers: the gateway sends each once, and several tabs may ask for it.
  readonly #strangers = new Map<string, User>();

  constructor(member: Member, line: Line, socket: WebSocketLike, handlers: HubHandlers) {
    this.#member = member;
    this.#line = line;
    this.#socket = socket;
    this.#handlers = handlers;
    this.#own = { gives: (text) => line.gives(text), watched: new Set(), heard: 0 };
    socket.onopen = () => line.opened();
    socket.onmessage = ({ data }) => this.#received(data as string);
    socket.onclose = ({ code = 1006, reason = '' }) => this.#doubt(code, () => this.#end({ code, reason: String(reason) }, true));
    socket.onerror = () => {};
    this.#inbox = handlers.channel(this.id);
    this.#inbox.onmessage = ({ data }) => this.#asked(data as ToHub);
  }

  /** True if a login can be answered now. */
  get ready(): boolean {
    return this.#live && !this.#over && !this.#member.connection?.paused;
  }

  /** Takes a frame of the leader's own client. */
  send(text: string): void {
    const frame = JSON.parse(text);
    if (frame.login) this.#recent.push({ cursor: frame.login.cursor });
    if (frame.watch) return this.#watch(this.#own, frame.id, frame.watch.accounts);
    // The session is the other tabs' as well.
    if (frame.logout && this.#peers.size) return this.#reply(this.#own, { id: frame.id, logoutReply: {} });
    this.#socket.send(text);
  }

  /** The leader's own client has closed or dropped its connection. */
  close(code?: number): void {
    this.#end({ code: 1006, reason: 'the leading tab left' }, false);
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    try {
      if (code === undefined) socket.close();
      else socket.close(code);
    } catch {
      // It is closed already.
    }
  }

  /** Tells the tabs what is stored. */
  saved(): void {
    const saved = this.#handlers.stored();
    for (const { channel } of this.#peers.values()) channel?.postMessage({ saved } satisfies ToLine);
  }

  #end(over: Over, remote: boolean): void {
    if (this.#over) return;
    this.#over = true;
    this.#inbox.close();
    const said: Over = this.#goodbye === undefined ? over : { ...over, goodbye: this.#goodbye };
    for (const { channel } of this.#peers.values()) {
      channel?.postMessage({ over: said } satisfies ToLine);
      channel?.close();
    }
    this.#peers.clear();
    this.#handlers.over(said);
    if (remote) this.#line.ends(over);
  }

  #received(text: string): void {
    let frame: Frame;
    try {
      frame = (JSON.parse(text) ?? {}) as Frame;
    } catch {
      // The client ends the connection.
      return this.#own.gives(text);
    }
    const pending = this.#pending.get(frame.id ?? 0);
    if (pending) {
      this.#pending.delete(frame.id ?? 0);
      return pending(frame);
    }
    this.#doubt(frame.goodbye?.code, () => this.#take(frame, text));
  }

  /**
   * Does something, later after a kick: if this page was silent, another tab may have taken its place, and the gateway may
   * have ended this session for that one's. Then this tab follows, as soon as it hears of it.
   */
  #doubt(code: number | undefined, action: () => void): void {
    if (code === KICKED) setTimeout(action, DOUBT_MS);
    else action();
  }

  #take(frame: Frame, text: string): void {
    if (this.#over) return;
    this.#remember(frame, text);
    this.#own.gives(text);
    if (this.#over) return;
    const user = frame.updateMyInfoReply?.user;
    if (user) this.#push(JSON.stringify({ changes: { me: user } }));
    else if (frame.id === undefined) this.#push(text);
    if (Object.keys(frame).length === 0) this.#prune();
    if (!this.#live && this.#member.state === 'live') {
      this.#live = true;
      this.#handlers.live();
    }
  }

  /** Keeps what later logins of tabs need. */
  #remember(frame: Frame, text: string): void {
    const { loginReply, updateMyInfoReply, changes, synced, goodbye } = frame;
    if (loginReply) {
      this.#login = { ...loginReply, skew: loginReply.serverTime - Date.now() };
      if (loginReply.sync === 'full') this.#recent = [];
    }
    if (goodbye) this.#goodbye = text;
    this.#keep(changes?.me);
    this.#keep(updateMyInfoReply?.user);
    this.#cursor = synced?.cursor ?? changes?.cursor ?? this.#cursor;
    if (synced) this.#recent.push({ cursor: synced.cursor });
    if (!changes) return;
    for (const account of changes.removed ?? []) this.#strangers.delete(account);
    const watched = this.#union();
    for (const user of changes.users ?? []) if (watched.has(user.account)) this.#strangers.set(user.account, user);
    // A full sync would have to be kept whole to be of use.
    if (this.#login?.sync === 'full' && !this.#live) return;
    this.#recent.push({ cursor: changes.cursor, text });
    this.#recentSize += text.length;
    while (this.#recentSize > RECENT_MAX) this.#recentSize -= this.#recent.shift()?.text?.length ?? 0;
  }

  #keep(user: User | undefined): void {
    if (user && user.version > (this.#me?.version ?? 0)) this.#me = user;
  }

  /** Handles what another tab says. */
  #asked({ from, text, bye }: ToHub): void {
    const peer = this.#peers.get(from);
    if (bye) return this.#gone(from);
    const { id = 0, ...command } = JSON.parse(text ?? '{}');
    if (peer) peer.heard = Date.now();
    if (command.login) return void this.#serve(from, id, command.login.cursor);
    if (!peer) return this.#refuse(from);
    if (command.watch) return this.#watch(peer, id, command.watch.accounts);
    // The session is the other tabs' as well; this one says `bye` next.
    if (command.logout) return this.#reply(peer, { id, logoutReply: {} });
    // What is held here is the leader's to repair. The tab gets all of it again.
    if (command.repair) return this.#reply(peer, { id, error: { code: 416, reason: 'RATE_LIMITED', message: 'the leading tab repairs' } });
    if (!Object.keys(command).length) return;
    this.#request(command, (frame) => {
      const user = frame.updateMyInfoReply?.user;
      // The gateway sends this to other sessions only.
      if (user) {
        this.#keep(user);
        const text = JSON.stringify({ changes: { me: user } });
        this.#own.gives(text);
        this.#push(text, peer);
      }
      this.#reply(peer, { ...frame, id });
    });
  }

  /** Sends a command under an id of its own. */
  #request(command: object, replied: (frame: Frame) => void): void {
    const id = ++this.#lastId;
    this.#pending.set(id, replied);
    if (!this.#over) this.#socket.send(JSON.stringify({ id, ...command }));
  }

  #reply(peer: Peer, frame: object): void {
    peer.gives(JSON.stringify(frame));
  }

  /** Gives a frame to the other tabs. */
  #push(text: string, except?: Peer): void {
    for (const peer of this.#peers.values()) if (peer !== except) peer.gives(text);
  }

  #refuse(line: string): void {
    const channel = this.#handlers.channel(line);
    channel.postMessage({ over: { code: 1006, reason: 'the leading tab does not know this one' } } satisfies ToLine);
    channel.close();
  }

  /** Answers the login of a tab: with the changes since its cursor if they are kept, or else with everything. */
  async #serve(line: string, id: number, cursor: string | undefined): Promise<void> {
    if (!this.ready || !this.#login) return this.#refuse(line);
    const channel = this.#handlers.channel(line);
    // What comes during the catch-up follows it.
    let queue: string[] | undefined = [];
    const post = (message: ToLine): void => {
      if (this.#peers.get(line) === peer) channel.postMessage(message);
    };
    const say = (text: string): void => post({ text });
    const peer: Peer = { gives: (text) => (queue ? void queue.push(text) : say(text)), channel, watched: new Set(), heard: Date.now() };
    this.#peers.set(line, peer);
    const { snapshot } = this.#member;
    const { skew, ...reply } = this.#login;
    delete reply.because;
    delete reply.expiresAt;
    let since = cursor === undefined ? -1 : this.#recent.length;
    while (since >= 0 && this.#recent[since]?.cursor !== cursor) since--;
    const recent = this.#recent.slice(since + 1).flatMap(({ text }) => text ?? []);
    const sync = since < 0 ? 'full' : recent.length ? 'delta' : 'current';
    const because = cursor === undefined ? 'NO_CURSOR' : 'CURSOR_EXPIRED';
    const synced = { cursor: this.#cursor, count: snapshot.friends.size, digest: digest(snapshot.friends, snapshot.users) };
    const saved = this.#handlers.stored();
    say(JSON.stringify({ id, loginReply: { ...reply, serverTime: Date.now() + skew, sync, ...(since < 0 ? { because } : {}) } }));
    if (since < 0) {
      const { users, friends, requests, blocks } = snapshot;
      // A friend comes with the profile.
      const all = [...friends.values()];
      const others = [...users.values()].filter(({ account }) => !friends.has(account));
      say(JSON.stringify({ changes: { me: this.#me, users: others, requests, blocks: [...blocks.values()] } }));
      for (let at = 0; at < all.length; at += BATCH) {
        if (at) await turn();
        if (this.#peers.get(line) !== peer) return;
        const part = all.slice(at, at + BATCH);
        say(JSON.stringify({ changes: { friends: part, users: part.flatMap(({ account }) => users.get(account) ?? []) } }));
      }
    } else {
      say(JSON.stringify({ changes: { me: this.#me } }));
      for (const text of recent) say(text);
    }
    if (snapshot.presence.size) say(JSON.stringify({ presence: { users: [...snapshot.presence.values()] } }));
    say(JSON.stringify({ synced }));
    if (snapshot.sessions.length) say(JSON.stringify({ sessions: { sessions: snapshot.sessions } }));
    for (const text of queue) say(text);
    queue = undefined;
    post({ saved });
  }

  /** All watched accounts. */
  #union(): Set<string> {
    return new Set([this.#own, ...this.#peers.values()].flatMap(({ watched }) => [...watched]));
  }

  /** Makes one list of those of all tabs, and answers the tab whose list has changed. */
  #watch(peer: Peer, id: number, accounts: string[]): void {
    this.#watching = this.#watching.then(() => {
      const before = peer.watched;
      peer.watched = new Set(accounts);
      return this.#list().then((frame) => {
        if (frame.error) peer.watched = before;
        // The gateway may have sent these to another tab, and does not send them again.
        const users = accounts.flatMap((account) => (frame.error ? [] : (this.#strangers.get(account) ?? [])));
        if (users.length) this.#reply(peer, { changes: { users } });
        const missing = frame.watchReply?.missing?.filter((account) => peer.watched.has(account));
        this.#reply(peer, { ...frame, id, ...(frame.watchReply ? { watchReply: missing?.length ? { missing } : {} } : {}) });
      });
    });
  }

  #list(): Promise<Frame> {
    const accounts = this.#union();
    for (const account of this.#strangers.keys()) if (!accounts.has(account)) this.#strangers.delete(account);
    return new Promise((resolve) => this.#request({ watch: { accounts: [...accounts] } }, resolve));
  }

  #gone(line: string): void {
    const peer = this.#peers.get(line);
    peer?.channel?.close();
    this.#peers.delete(line);
    if (peer?.watched.size) this.#watching = this.#watching.then(() => this.#list());
  }

  /** Forgets tabs that were killed: each answers the gateway's heartbeat, which all receive. */
  #prune(): void {
    const silence = (this.#login?.heartbeatMs ?? 0) * 2.5;
    for (const [line, { heard }] of this.#peers) {
      if (Date.now() - heard <= silence) continue;
      this.#gone(line);
      this.#refuse(line);
    }
  }
}

/** Lets the page do something else. Unlike timers, this is not slowed down in the background. */
function turn(): Promise<void> {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}
