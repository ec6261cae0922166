var __defProp = Object.defineProperty;
var __getOwnPropDesc = Object.getOwnPropertyDescriptor;
var __getOwnPropNames = Object.getOwnPropertyNames;
var __hasOwnProp = Object.prototype.hasOwnProperty;
var __export = (target, all) => {
  for (var name in all)
    __defProp(target, name, { get: all[name], enumerable: true });
};
var __copyProps = (to, from, except, desc) => {
  if (from && typeof from === "object" || typeof from === "function") {
    for (let key of __getOwnPropNames(from))
      if (!__hasOwnProp.call(to, key) && key !== except)
        __defProp(to, key, { get: () => from[key], enumerable: !(desc = __getOwnPropDesc(from, key)) || desc.enumerable });
  }
  return to;
};
var __toCommonJS = (mod) => __copyProps(__defProp({}, "__esModule", { value: true }), mod);

// src/tabs.ts
var tabs_exports = {};
__export(tabs_exports, {
  shareTabs: () => shareTabs
});
module.exports = __toCommonJS(tabs_exports);

// src/tabs-hub.ts
var import_digest = require("./core.js");
var FOREIGN = 2 ** 40;
var BATCH = 500;
var RECENT_MAX = 1e6;
var KICKED = 3503;
var DOUBT_MS = 100;
var Hub = class {
  constructor(member, line, socket, handlers) {
    this.id = crypto.randomUUID();
    this.#peers = /* @__PURE__ */ new Map();
    this.#pending = /* @__PURE__ */ new Map();
    this.#lastId = FOREIGN;
    this.#live = false;
    this.#over = false;
    // The frames that followed a cursor, so far back as they are kept.
    this.#recent = [];
    this.#recentSize = 0;
    // Lists are sent one after another, so that a refused one can be taken back.
    this.#watching = Promise.resolve();
    // Profiles of watched strangers: the gateway sends each once, and several tabs may ask for it.
    this.#strangers = /* @__PURE__ */ new Map();
    this.#member = member;
    this.#line = line;
    this.#socket = socket;
    this.#handlers = handlers;
    this.#own = { gives: (text) => line.gives(text), watched: /* @__PURE__ */ new Set(), heard: 0 };
    socket.onopen = () => line.opened();
    socket.onmessage = ({ data }) => this.#received(data);
    socket.onclose = ({ code = 1006, reason = "" }) => this.#doubt(code, () => this.#end({ code, reason: String(reason) }, true));
    socket.onerror = () => {
    };
    this.#inbox = handlers.channel(this.id);
    this.#inbox.onmessage = ({ data }) => this.#asked(data);
  }
  #member;
  #handlers;
  #line;
  #socket;
  #inbox;
  #own;
  #peers;
  #pending;
  #lastId;
  #live;
  #over;
  #goodbye;
  #login;
  #cursor;
  // As the gateway sent it: the leader may show changes that it has not confirmed.
  #me;
  #recent;
  #recentSize;
  #watching;
  #strangers;
  /** True if a login can be answered now. */
  get ready() {
    return this.#live && !this.#over && !this.#member.connection?.paused;
  }
  /** Takes a frame of the leader's own client. */
  send(text) {
    const frame = JSON.parse(text);
    if (frame.login) this.#recent.push({ cursor: frame.login.cursor });
    if (frame.watch) return this.#watch(this.#own, frame.id, frame.watch.accounts);
    if (frame.logout && this.#peers.size) return this.#reply(this.#own, { id: frame.id, logoutReply: {} });
    this.#socket.send(text);
  }
  /** The leader's own client has closed or dropped its connection. */
  close(code) {
    this.#end({ code: 1006, reason: "the leading tab left" }, false);
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
    try {
      if (code === void 0) socket.close();
      else socket.close(code);
    } catch {
    }
  }
  /** Tells the tabs what is stored. */
  saved() {
    const saved = this.#handlers.stored();
    for (const { channel } of this.#peers.values()) channel?.postMessage({ saved });
  }
  #end(over, remote) {
    if (this.#over) return;
    this.#over = true;
    this.#inbox.close();
    const said = this.#goodbye === void 0 ? over : { ...over, goodbye: this.#goodbye };
    for (const { channel } of this.#peers.values()) {
      channel?.postMessage({ over: said });
      channel?.close();
    }
    this.#peers.clear();
    this.#handlers.over(said);
    if (remote) this.#line.ends(over);
  }
  #received(text) {
    let frame;
    try {
      frame = JSON.parse(text) ?? {};
    } catch {
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
  #doubt(code, action) {
    if (code === KICKED) setTimeout(action, DOUBT_MS);
    else action();
  }
  #take(frame, text) {
    if (this.#over) return;
    this.#remember(frame, text);
    this.#own.gives(text);
    if (this.#over) return;
    const user = frame.updateMyInfoReply?.user;
    if (user) this.#push(JSON.stringify({ changes: { me: user } }));
    else if (frame.id === void 0) this.#push(text);
    if (Object.keys(frame).length === 0) this.#prune();
    if (!this.#live && this.#member.state === "live") {
      this.#live = true;
      this.#handlers.live();
    }
  }
  /** Keeps what later logins of tabs need. */
  #remember(frame, text) {
    const { loginReply, updateMyInfoReply, changes, synced, goodbye } = frame;
    if (loginReply) {
      this.#login = { ...loginReply, skew: loginReply.serverTime - Date.now() };
      if (loginReply.sync === "full") this.#recent = [];
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
    if (this.#login?.sync === "full" && !this.#live) return;
    this.#recent.push({ cursor: changes.cursor, text });
    this.#recentSize += text.length;
    while (this.#recentSize > RECENT_MAX) this.#recentSize -= this.#recent.shift()?.text?.length ?? 0;
  }
  #keep(user) {
    if (user && user.version > (this.#me?.version ?? 0)) this.#me = user;
  }
  /** Handles what another tab says. */
  #asked({ from, text, bye }) {
    const peer = this.#peers.get(from);
    if (bye) return this.#gone(from);
    const { id = 0, ...command } = JSON.parse(text ?? "{}");
    if (peer) peer.heard = Date.now();
    if (command.login) return void this.#serve(from, id, command.login.cursor);
    if (!peer) return this.#refuse(from);
    if (command.watch) return this.#watch(peer, id, command.watch.accounts);
    if (command.logout) return this.#reply(peer, { id, logoutReply: {} });
    if (command.repair) return this.#reply(peer, { id, error: { code: 416, reason: "RATE_LIMITED", message: "the leading tab repairs" } });
    if (!Object.keys(command).length) return;
    this.#request(command, (frame) => {
      const user = frame.updateMyInfoReply?.user;
      if (user) {
        this.#keep(user);
        const text2 = JSON.stringify({ changes: { me: user } });
        this.#own.gives(text2);
        this.#push(text2, peer);
      }
      this.#reply(peer, { ...frame, id });
    });
  }
  /** Sends a command under an id of its own. */
  #request(command, replied) {
    const id = ++this.#lastId;
    this.#pending.set(id, replied);
    if (!this.#over) this.#socket.send(JSON.stringify({ id, ...command }));
  }
  #reply(peer, frame) {
    peer.gives(JSON.stringify(frame));
  }
  /** Gives a frame to the other tabs. */
  #push(text, except) {
    for (const peer of this.#peers.values()) if (peer !== except) peer.gives(text);
  }
  #refuse(line) {
    const channel = this.#handlers.channel(line);
    channel.postMessage({ over: { code: 1006, reason: "the leading tab does not know this one" } });
    channel.close();
  }
  /** Answers the login of a tab: with the changes since its cursor if they are kept, or else with everything. */
  async #serve(line, id, cursor) {
    if (!this.ready || !this.#login) return this.#refuse(line);
    const channel = this.#handlers.channel(line);
    let queue = [];
    const post = (message) => {
      if (this.#peers.get(line) === peer) channel.postMessage(message);
    };
    const say = (text) => post({ text });
    const peer = { gives: (text) => queue ? void queue.push(text) : say(text), channel, watched: /* @__PURE__ */ new Set(), heard: Date.now() };
    this.#peers.set(line, peer);
    const { snapshot } = this.#member;
    const { skew, ...reply } = this.#login;
    delete reply.because;
    delete reply.expiresAt;
    let since = cursor === void 0 ? -1 : this.#recent.length;
    while (since >= 0 && this.#recent[since]?.cursor !== cursor) since--;
    const recent = this.#recent.slice(since + 1).flatMap(({ text }) => text ?? []);
    const sync = since < 0 ? "full" : recent.length ? "delta" : "current";
    const because = cursor === void 0 ? "NO_CURSOR" : "CURSOR_EXPIRED";
    const synced = { cursor: this.#cursor, count: snapshot.friends.size, digest: (0, import_digest.digest)(snapshot.friends, snapshot.users) };
    const saved = this.#handlers.stored();
    say(JSON.stringify({ id, loginReply: { ...reply, serverTime: Date.now() + skew, sync, ...since < 0 ? { because } : {} } }));
    if (since < 0) {
      const { users, friends, requests, blocks } = snapshot;
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
    queue = void 0;
    post({ saved });
  }
  /** All watched accounts. */
  #union() {
    return new Set([this.#own, ...this.#peers.values()].flatMap(({ watched }) => [...watched]));
  }
  /** Makes one list of those of all tabs, and answers the tab whose list has changed. */
  #watch(peer, id, accounts) {
    this.#watching = this.#watching.then(() => {
      const before = peer.watched;
      peer.watched = new Set(accounts);
      return this.#list().then((frame) => {
        if (frame.error) peer.watched = before;
        const users = accounts.flatMap((account) => frame.error ? [] : this.#strangers.get(account) ?? []);
        if (users.length) this.#reply(peer, { changes: { users } });
        const missing = frame.watchReply?.missing?.filter((account) => peer.watched.has(account));
        this.#reply(peer, { ...frame, id, ...frame.watchReply ? { watchReply: missing?.length ? { missing } : {} } : {} });
      });
    });
  }
  #list() {
    const accounts = this.#union();
    for (const account of this.#strangers.keys()) if (!accounts.has(account)) this.#strangers.delete(account);
    return new Promise((resolve) => this.#request({ watch: { accounts: [...accounts] } }, resolve));
  }
  #gone(line) {
    const peer = this.#peers.get(line);
    peer?.channel?.close();
    this.#peers.delete(line);
    if (peer?.watched.size) this.#watching = this.#watching.then(() => this.#list());
  }
  /** Forgets tabs that were killed: each answers the gateway's heartbeat, which all receive. */
  #prune() {
    const silence = (this.#login?.heartbeatMs ?? 0) * 2.5;
    for (const [line, { heard }] of this.#peers) {
      if (Date.now() - heard <= silence) continue;
      this.#gone(line);
      this.#refuse(line);
    }
  }
};
function turn() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}

// src/tabs-line.ts
var Line = class {
  constructor() {
    this.id = crypto.randomUUID();
    this.readyState = 0;
    this.onopen = null;
    this.onmessage = null;
    this.onclose = null;
    this.onerror = null;
  }
  send(text) {
    this.carrier?.send(text);
  }
  close(code) {
    if (this.readyState === 3) return;
    this.readyState = 3;
    this.carrier?.close(code);
  }
  opened() {
    if (this.readyState) return;
    this.readyState = 1;
    this.onopen?.({});
  }
  gives(text) {
    if (this.readyState !== 3) this.onmessage?.({ data: text });
  }
  ends({ code, reason, goodbye }) {
    if (goodbye) this.gives(goodbye);
    if (this.readyState === 3) return;
    this.close();
    this.onclose?.({ code, reason });
  }
};

// src/tabs-store.ts
var import_store = require("./core.js");
var UNWRITTEN_MAX = 200;
function merged(changes) {
  let all = new import_store.Gathered();
  for (const change of changes) {
    if (change.clear) all = new import_store.Gathered(true, all.kept);
    all.add(change);
  }
  return all.change;
}
var TabStore = class {
  constructor(store, key) {
    this.#writes = false;
    this.#unwritten = [];
    this.#last = Promise.resolve();
    /** The number of writes under way. */
    this.busy = 0;
    this.#store = store;
    this.#key = key;
  }
  #store;
  #key;
  #writes;
  #unwritten;
  #last;
  #listener;
  async load(key) {
    const stored = await this.#store.load(key);
    this.cursor ??= stored?.cursor;
    return stored;
  }
  async save(_key, change) {
    const { kept, ...records } = change;
    this.#unwritten.push(this.#writes ? change : records);
    if (this.#writes) return this.#write();
    if (kept?.length) await this.#inOrder(() => this.#store.save(this.#key, { kept }));
    if (this.#unwritten.length > UNWRITTEN_MAX) this.#unwritten = [merged(this.#unwritten)];
  }
  async wipe(key) {
    this.#unwritten = [];
    this.cursor = void 0;
    this.onWiped?.();
    await this.#last;
    await this.#store.wipe(key);
  }
  onWipe(key, listener) {
    this.#listener = () => {
      this.#unwritten = [];
      this.cursor = void 0;
      listener();
    };
    this.#store.onWipe?.(key, this.#listener);
  }
  close() {
    this.#store.close?.();
  }
  /** Another tab has wiped the records. Stores that hear it by themselves say so themselves. */
  wiped() {
    if (!this.#store.onWipe) this.#listener?.();
  }
  /** The leader has written everything up to this cursor. */
  saved(cursor) {
    if (cursor === void 0) return;
    this.cursor = cursor;
    this.#unwritten.splice(0, this.#unwritten.map((change) => change.cursor).lastIndexOf(cursor) + 1);
  }
  /** This tab leads: writes what the last leader may not have written. */
  begin() {
    this.#writes = true;
    if (this.#unwritten.length) this.#write().catch(() => {
    });
  }
  end() {
    this.#writes = false;
  }
  #write() {
    return this.#inOrder(async () => {
      const changes = this.#unwritten;
      if (!changes.length) return;
      this.#unwritten = [];
      const change = merged(changes);
      try {
        await this.#store.save(this.#key, change);
      } catch (cause) {
        this.#unwritten = [...changes, ...this.#unwritten];
        throw cause;
      }
      if (typeof change.cursor !== "string") return;
      this.cursor = change.cursor;
      this.onSaved?.();
    });
  }
  #inOrder(write) {
    this.busy++;
    const written = this.#last.then(write);
    this.#last = written.catch(() => {
    }).then(() => this.busy--);
    return written;
  }
};

// src/tabs.ts
var SILENCE_MS = 3e3;
var LEAVE_MS = 100;
var LEAVE_TRIES = 30;
var shareTabs = (member, store, key) => {
  const { navigator, BroadcastChannel: Channel } = globalThis;
  const locks = navigator?.locks;
  const Socket = member.options.WebSocket ?? globalThis.WebSocket;
  if (!locks || !Channel || !Socket) return void 0;
  return new Tab(member, new TabStore(store, key), `rosterd-tabs-1 ${key}`, { locks, Channel, Socket });
};
var Tab = class {
  #store;
  #member;
  #name;
  #platform;
  #leads = false;
  // The next login has no token, because another tab led.
  #tokenless = false;
  #release;
  // Gives up the place in the queue for the lock.
  #queue;
  #joined;
  #all;
  #line;
  #hub;
  // While the line is another tab's.
  #seeker;
  // Settles when the page wakes up again.
  #asleep;
  constructor(member, store, name, platform) {
    this.#member = member;
    this.store = this.#store = store;
    this.#name = name;
    this.#platform = platform;
    store.onSaved = () => this.#hub?.saved();
    store.onWiped = () => this.#wiped();
    const open = (url, protocols) => this.#open(url, protocols);
    this.WebSocket = function(url, protocols) {
      return open(url, protocols);
    };
  }
  async follows() {
    this.#watchPage(true);
    do {
      await this.#asleep?.promise;
      await (this.#joined ??= this.#join());
    } while (this.#asleep);
    return this.#tokenless = !this.#leads;
  }
  leave() {
    this.#watchPage(false);
    this.#asleep?.wake();
    this.#asleep = void 0;
    const release = this.#retire();
    let tries = LEAVE_TRIES;
    const wait = () => {
      if (this.#store.busy && --tries > 0) return void setTimeout(wait, LEAVE_MS);
      this.#close(release);
    };
    if (release) setTimeout(wait, LEAVE_MS);
    else this.#close();
  }
  /** Leads no more, or does not want to. Returns what gives the lock away, if this tab has it. */
  #retire() {
    this.#queue?.abort();
    this.#joined = void 0;
    this.#leads = false;
    const release = this.#release;
    this.#release = void 0;
    return release;
  }
  #close(release) {
    if (!this.#joined) {
      this.#all?.close();
      this.#all = void 0;
    }
    if (!release) return;
    this.#store.end();
    release();
  }
  /** Takes the lock if it is free; otherwise waits in line for it, and settles meanwhile. */
  #join() {
    this.#all ??= this.#channel("", (data) => this.#heard(data));
    return new Promise((settle) => {
      const queue = this.#queue = new AbortController();
      let got = false;
      const take = (lock) => {
        if (!lock || queue.signal.aborted) return void 0;
        got = true;
        return this.#lead(settle);
      };
      const failed = (cause) => {
        if (got) return this.#deposed(queue);
        if (cause?.name !== "AbortError") void this.#lead(settle);
      };
      this.#platform.locks.request(this.#name, { ifAvailable: true }, take).then(() => {
        if (got || queue.signal.aborted) return settle();
        settle();
        return this.#platform.locks.request(this.#name, { signal: queue.signal }, take);
      }).catch(failed);
    });
  }
  /** Takes the place of a leader that is silent. */
  #steal() {
    this.#queue?.abort();
    const queue = this.#queue = new AbortController();
    this.#platform.locks.request(this.#name, { steal: true }, () => queue.signal.aborted ? void 0 : this.#lead()).catch(() => this.#deposed(queue));
  }
  /** Leads until the returned promise settles. */
  #lead(settle) {
    this.#leads = true;
    this.#store.begin();
    const held = new Promise((resolve) => this.#release = resolve);
    settle?.();
    this.#say({ hold: true });
    this.#again({ code: 1006, reason: "this tab leads now" });
    return held;
  }
  /** Another tab leads, because this one was silent. */
  #deposed(queue) {
    if (queue !== this.#queue || !this.#leads) return;
    this.#leads = false;
    this.#release = void 0;
    this.#store.end();
    this.#joined = void 0;
    this.#again({ code: 1006, reason: "another tab leads now" });
  }
  /** Ends the line, if there is one, and lets the client begin anew at once. */
  #again(over) {
    this.#line?.ends(over);
    if (this.#member.snapshot.connection.state === "reconnecting") void this.#member.connect();
  }
  /** Opens what the client takes for a WebSocket. */
  #open(url, protocols) {
    const line = this.#line = new Line();
    if (!this.#leads) this.#follow(line);
    else if (this.#tokenless) queueMicrotask(() => this.#again({ code: 1006, reason: "this tab leads now" }));
    else this.#connect(line, url, protocols);
    return line;
  }
  /** Connects the line to the gateway. */
  #connect(line, url, protocols) {
    const hub = new Hub(this.#member, line, new this.#platform.Socket(url, protocols), {
      channel: (name) => this.#channel(name),
      live: () => this.#say({ lead: hub.id }),
      stored: () => this.#store.cursor,
      over: (over) => {
        if (this.#hub === hub) this.#hub = void 0;
        this.#say({ over });
      }
    });
    this.#hub = line.carrier = hub;
  }
  /** Connects the line to the leader, as soon as that is live. */
  #follow(line) {
    let leader;
    const calm = () => clearTimeout(silence);
    const silence = setTimeout(() => this.#steal(), SILENCE_MS * (1 + Math.random() / 3));
    const seeker = this.#seeker = { calm };
    const inbox = this.#channel(line.id, ({ lead, hold, text, saved, over }) => {
      if (hold) calm();
      if (lead) seeker.found?.(lead);
      if (text) line.gives(text);
      this.#store.saved(saved);
      if (over) line.ends(over);
    });
    seeker.found = (lead) => {
      delete seeker.found;
      calm();
      seeker.hub = lead;
      leader = this.#channel(lead);
      line.opened();
    };
    const post = (message) => leader?.postMessage({ from: line.id, ...message });
    line.carrier = {
      send: (text) => post({ text }),
      close: () => {
        calm();
        post({ bye: true });
        leader?.close();
        inbox.close();
        if (this.#seeker === seeker) this.#seeker = void 0;
      }
    };
    this.#say({ ask: line.id, awake: globalThis.document?.visibilityState !== "hidden" });
  }
  #heard({ ask, awake, lead, hold, over, wiped }) {
    if (wiped) this.#store.wiped();
    if (ask && this.#leads) this.#answer(ask, !!awake);
    const seeker = this.#seeker;
    if (hold) seeker?.calm();
    if (over && seeker?.found) this.#line?.ends(over);
    if (!lead || this.#leads) return;
    if (seeker?.found) seeker.found(lead);
    else if (seeker?.hub !== lead) this.#again({ code: 1006, reason: "another tab leads now" });
  }
  #answer(line, awake) {
    const channel = this.#channel(line);
    channel.postMessage(this.#hub?.ready ? { lead: this.#hub.id } : { hold: true });
    channel.close();
    if (awake && this.#member.snapshot.connection.state === "reconnecting") void this.#member.connect();
  }
  #wiped() {
    const all = this.#all ?? this.#channel("");
    all.postMessage({ wiped: true });
    if (all !== this.#all) all.close();
  }
  #say(message) {
    this.#all?.postMessage(message);
  }
  #channel(name, heard) {
    const channel = new this.#platform.Channel(`${this.#name} ${name}`);
    if (heard) channel.onmessage = ({ data }) => heard(data);
    return channel;
  }
  // The page is frozen, or kept for the way back, or goes: another tab leads. It also leaves the queue, because a page that
  // sleeps cannot lead.
  #sleep = () => {
    if (this.#asleep) return;
    let wake = () => {
    };
    const promise = new Promise((resolve) => wake = resolve);
    this.#asleep = { promise, wake };
    const release = this.#retire();
    this.#line?.ends({ code: 1006, reason: "the page was put to sleep" });
    this.#close(release);
  };
  #wake = () => {
    const asleep = this.#asleep;
    this.#asleep = void 0;
    asleep?.wake();
    if (asleep) this.#again({ code: 1006, reason: "the page woke up" });
  };
  #watchPage(on) {
    const method = on ? "addEventListener" : "removeEventListener";
    globalThis[method]?.("pagehide", this.#sleep);
    globalThis[method]?.("pageshow", this.#wake);
    globalThis.document?.[method]?.("freeze", this.#sleep);
    globalThis.document?.[method]?.("resume", this.#wake);
  }
};
//# sourceMappingURL=tabs.js.map
