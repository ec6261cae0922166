// src/protocol.ts
var Code = {
  unauthenticated: 302,
  denied: 403,
  notFound: 404,
  timeout: 408,
  internal: 500
};
var Close = { tokenExpired: 3506 };
function comesBack(code) {
  return code < 3500 || code > 3999;
}
var RosterdError = class _RosterdError extends Error {
  code;
  reason;
  /** The field that was wrong, if one was. */
  field;
  /** When it may work again, if the gateway said so. */
  retryAfterMs;
  constructor(code, reason, message, more = {}) {
    super(message, more.cause === void 0 ? void 0 : { cause: more.cause });
    this.name = "RosterdError";
    this.code = code;
    this.reason = reason;
    if (more.field !== void 0) this.field = more.field;
    if (more.retryAfterMs !== void 0) this.retryAfterMs = more.retryAfterMs;
  }
  static from(body) {
    return new _RosterdError(body.code, body.reason, body.message, body);
  }
};

// src/calls.ts
var Calls = class {
  #calls = /* @__PURE__ */ new Map();
  #lastId = 0;
  nextId() {
    return ++this.#lastId;
  }
  /** Calls that wait are sent by the next {@link flush}. */
  add(command, timeoutMs, repeatable) {
    const id = this.nextId();
    return new Promise((resolve, reject) => {
      const timer = setTimeout(() => {
        const { sent } = this.#calls.get(id) ?? {};
        this.#calls.delete(id);
        reject(new RosterdError(Code.timeout, "TIMEOUT", `${sent ? "no answer" : "no connection"} within ${timeoutMs} ms`));
      }, timeoutMs);
      this.#calls.set(id, { command, repeatable, sent: false, timer, resolve, reject });
    });
  }
  /** Sends what waits, oldest first. */
  flush(send) {
    for (const [id, call] of this.#calls) {
      if (!call.sent) call.sent = send({ id, ...call.command });
    }
  }
  /** Hands a reply or an error to its caller. False if nobody waits for it. */
  settle(frame) {
    const call = frame.id === void 0 ? void 0 : this.#take(frame.id);
    if (!call) return false;
    if (frame.error) call.reject(RosterdError.from(frame.error));
    else call.resolve(frame);
    return true;
  }
  /** The connection is lost: what may be repeated waits for the next one. */
  interrupted() {
    for (const [id, call] of this.#calls) {
      if (!call.sent) continue;
      if (call.repeatable) call.sent = false;
      else this.#take(id)?.reject(new RosterdError(Code.timeout, "CONNECTION_LOST", "the connection was lost before the answer came; it may have been carried out or not"));
    }
  }
  /** No connection is to be expected. */
  fail(error) {
    for (const id of [...this.#calls.keys()]) this.#take(id)?.reject(error);
  }
  #take(id) {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    clearTimeout(call?.timer);
    return call;
  }
};

// src/connection.ts
var LOGIN_MS = 12e3;
var GOODBYE_MS = 2e3;
var Connection = class {
  #socket;
  #handlers;
  #over = false;
  #goodbye;
  // Fires if nothing was heard for #patience.
  #silence;
  #patience = LOGIN_MS;
  #paused = false;
  // What arrived while paused, where the socket itself cannot be paused.
  #held = [];
  /** Throws what the platform throws, for an address that is none. */
  constructor(url, Socket, handlers) {
    this.#handlers = handlers;
    const socket = this.#socket = new Socket(url, ["rosterd.v1.json"]);
    this.#listen();
    socket.onopen = () => !this.#over && handlers.opened();
    socket.onmessage = ({ data }) => this.#message(data);
    socket.onclose = ({ code, reason }) => this.#end({ code: code ?? 1006, reason: String(reason ?? "") });
    socket.onerror = () => {
    };
  }
  get paused() {
    return this.#paused;
  }
  /** From now on the gateway is heard every `heartbeatMs`. */
  loggedIn(heartbeatMs) {
    if (heartbeatMs > 0) this.#patience = Math.min(heartbeatMs * 2.5, 2 ** 31 - 1);
    this.#listen();
  }
  /** Takes the connection for dead if nothing at all is heard that soon; afterwards all is as before. */
  expectWithin(ms) {
    this.#listen(ms);
  }
  /** False if it cannot go out now. True is no promise that it arrives. */
  send(frame) {
    if (this.#over || this.#socket.readyState !== 1) return false;
    this.#handlers.trace("out", frame);
    try {
      this.#socket.send(JSON.stringify(frame));
      return true;
    } catch {
      return false;
    }
  }
  /** Ends in order, without telling the handlers. */
  close() {
    this.#release();
    this.#quietly(() => this.#socket.close(1e3));
  }
  /** Ends as if the network had. */
  drop(reason) {
    const { terminate } = this.#socket;
    if (this.#over) return;
    this.#quietly(() => terminate ? terminate.call(this.#socket) : this.#socket.close());
    this.#end({ code: 1006, reason });
  }
  /** Stops reading. Where that is impossible, frames are held back; heartbeats are still answered. */
  pause() {
    if (this.#over || this.#paused) return;
    this.#paused = true;
    clearTimeout(this.#silence);
    this.#socket.pause?.();
  }
  resume() {
    if (!this.#paused) return;
    this.#paused = false;
    this.#listen();
    this.#socket.resume?.();
    const held = this.#held;
    this.#held = [];
    for (const data of held) this.#message(data);
  }
  #message(data) {
    if (this.#over) return;
    if (this.#paused && data !== "{}") {
      this.#held.push(data);
      return;
    }
    this.#listen();
    let frame;
    try {
      frame = JSON.parse(data);
      if (typeof frame !== "object" || frame === null) throw new TypeError("not an object");
    } catch {
      this.drop("a frame could not be read");
      return;
    }
    this.#handlers.trace("in", frame);
    if (Object.keys(frame).length === 0) {
      this.send({});
      return;
    }
    if (frame.goodbye) {
      this.#goodbye = frame.goodbye;
      this.#patience = GOODBYE_MS;
      this.#listen();
    }
    this.#handlers.frame(frame);
  }
  #listen(patience = this.#patience) {
    clearTimeout(this.#silence);
    if (this.#over || this.#paused) return;
    this.#silence = setTimeout(() => this.drop("nothing was heard for too long"), patience);
  }
  #end(end) {
    if (this.#over) return;
    this.#release();
    const goodbye = this.#goodbye;
    this.#handlers.ended(goodbye ? { code: goodbye.code, reason: goodbye.reason, goodbye } : end);
  }
  #release() {
    this.#over = true;
    clearTimeout(this.#silence);
    this.#held = [];
    const socket = this.#socket;
    socket.onopen = socket.onmessage = socket.onclose = null;
  }
  #quietly(action) {
    try {
      action();
    } catch {
    }
  }
};

// src/emitter.ts
var Emitter = class {
  #listeners = /* @__PURE__ */ new Map();
  on(event, listener) {
    let all = this.#listeners.get(event);
    if (!all) this.#listeners.set(event, all = /* @__PURE__ */ new Set());
    all.add(listener);
    return () => this.off(event, listener);
  }
  off(event, listener) {
    this.#listeners.get(event)?.delete(listener);
  }
  has(event) {
    return !!this.#listeners.get(event)?.size;
  }
  emit(event, ...args) {
    for (const listener of [...this.#listeners.get(event) ?? []]) {
      try {
        const result2 = listener(...args);
        if (result2 instanceof Promise) result2.catch(report);
      } catch (error) {
        report(error);
      }
    }
  }
};
function report(error) {
  if (typeof globalThis.reportError === "function") globalThis.reportError(error);
  else console.error(error);
}

// src/digest.ts
function fmix32(h) {
  h = Math.imul(h ^ h >>> 16, 2246822507);
  h = Math.imul(h ^ h >>> 13, 3266489909);
  return (h ^ h >>> 16) >>> 0;
}
function leaf(account, friendVersion, userVersion) {
  let h = 2166136261;
  for (let i = 0; i < account.length; i++) h = Math.imul(h ^ account.charCodeAt(i), 16777619);
  for (const version of [friendVersion, userVersion]) {
    h = fmix32(fmix32(h ^ version >>> 0) ^ Math.floor(version / 2 ** 32));
  }
  return h;
}
function digest(friends, users) {
  let sum = 0;
  for (const [account, friend] of friends) {
    sum = sum + leaf(account, friend.version, users.get(account)?.version ?? 0) >>> 0;
  }
  return sum;
}

// src/replica.ts
var nothing = () => ({ users: /* @__PURE__ */ new Map(), friends: /* @__PURE__ */ new Map() });
function newer(record, held) {
  return !!record && record.version > (held?.version ?? 0);
}
var Replica = class {
  #held = nothing();
  // What a catch-up collects; replaces #held at `synced`, so that nobody sees half of one.
  #staged;
  #full = false;
  // Two mismatches in a row: the records are shown, but no cursor is trusted until a catch-up agrees again.
  #doubt = "none";
  #cursor;
  get me() {
    return this.#held.me;
  }
  get users() {
    return this.#held.users;
  }
  get friends() {
    return this.#held.friends;
  }
  /** What to show at the next login. */
  get cursor() {
    return this.#cursor;
  }
  load(stored) {
    this.#held = {
      me: stored.me,
      users: new Map(stored.users.map((user) => [user.account, user])),
      friends: new Map(stored.friends.map((friend) => [friend.account, friend]))
    };
    this.#cursor = stored.cursor;
  }
  /** The records are gone; so is the cursor, which would promise that they are here. */
  clear() {
    this.#held = nothing();
    this.#staged = void 0;
    this.#cursor = void 0;
  }
  /** The connection ended. A catch-up that was under way has not happened. */
  interrupted() {
    this.#staged = void 0;
  }
  /** Applies a frame. Nothing is returned if nothing became different, which is also so for frames that are not known. */
  take(frame) {
    if (frame.loginReply) return this.#begin(frame.loginReply.sync === "full");
    if (frame.changes) return this.#changes(frame.changes);
    if (frame.synced) return this.#synced(frame.synced);
    if (frame.updateMyInfoReply) return this.#live({ me: frame.updateMyInfoReply.user }, "reply");
    const cards = frame.getUsersReply?.users?.filter((user) => this.#held.users.has(user.account));
    return cards && this.#live({ users: cards }, "reply");
  }
  #begin(full) {
    const { me, users, friends } = this.#held;
    this.#full = full;
    this.#staged = full ? nothing() : { me, users: new Map(users), friends: new Map(friends) };
  }
  #changes(changes) {
    if (!this.#staged) return this.#live(changes, "update");
    apply(this.#staged, changes);
    return void 0;
  }
  #live(changes, how) {
    const { me, users, friends, removed } = apply(this.#held, changes);
    const save = { users, friends, removed };
    if (me) save.me = me;
    if (typeof changes.cursor === "string" && this.#doubt === "none") save.cursor = this.#cursor = changes.cursor;
    if (!me && !users.length && !friends.length && !removed.length && save.cursor === void 0) return void 0;
    return { how, me, users, friends, removed, save };
  }
  #synced(synced) {
    const next = this.#staged;
    if (!next) return void 0;
    this.#staged = void 0;
    const agrees = next.friends.size === synced.count && digest(next.friends, next.users) === synced.digest;
    if (!agrees && this.#doubt === "none") {
      this.#doubt = "once";
      this.#cursor = void 0;
      return { how: "sync", users: [], friends: [], removed: [], save: { cursor: null }, mismatch: "retry" };
    }
    const before = this.#held;
    this.#held = next;
    this.#doubt = agrees ? "none" : "cursor";
    this.#cursor = agrees ? synced.cursor : void 0;
    const changed = (now, old) => {
      const all = [...now.values()];
      return this.#full ? all : all.filter((record) => record !== old.get(record.account));
    };
    const users = changed(next.users, before.users);
    const friends = changed(next.friends, before.friends);
    const removed = [.../* @__PURE__ */ new Set([...before.friends.keys(), ...before.users.keys()])].filter(
      (account) => !(before.friends.has(account) ? next.friends : next.users).has(account)
    );
    const save = { clear: this.#full, users, friends, removed: this.#full ? [] : removed, cursor: this.#cursor ?? null };
    if (next.me && (this.#full || next.me !== before.me)) save.me = next.me;
    return {
      how: "sync",
      me: next.me,
      users,
      friends,
      removed,
      save,
      full: this.#full,
      ...agrees ? {} : { mismatch: "accepted" }
    };
  }
};
function apply(into, changes) {
  const removed = (changes.removed ?? []).filter((account) => {
    const known = into.friends.delete(account);
    return into.users.delete(account) || known;
  });
  let me;
  if (newer(changes.me, into.me)) into.me = me = changes.me;
  const keep = (map, records) => (records ?? []).filter((record) => newer(record, map.get(record.account)) && map.set(record.account, record));
  return { me, users: keep(into.users, changes.users), friends: keep(into.friends, changes.friends), removed };
}

// src/store.ts
var MemoryStore = class {
  #accounts = /* @__PURE__ */ new Map();
  async load(account) {
    const held = this.#accounts.get(account);
    return held && { me: held.me, users: [...held.users.values()], friends: [...held.friends.values()], cursor: held.cursor };
  }
  async save(account, change) {
    let held = this.#accounts.get(account);
    if (!held || change.clear) this.#accounts.set(account, held = { users: /* @__PURE__ */ new Map(), friends: /* @__PURE__ */ new Map() });
    for (const gone of change.removed ?? []) {
      held.users.delete(gone);
      held.friends.delete(gone);
    }
    if (change.me) held.me = change.me;
    for (const user of change.users ?? []) held.users.set(user.account, user);
    for (const friend of change.friends ?? []) held.friends.set(friend.account, friend);
    if (change.cursor !== void 0) held.cursor = change.cursor ?? void 0;
  }
  async wipe(account) {
    this.#accounts.delete(account);
  }
};
var SCHEMA = 1;
var TABLES = ["users", "friends", "meta"];
var BATCH = 250;
var OPEN_MS = 3e3;
var IndexedDbStore = class {
  // Opened at first use. A rejected one stays: the client gives up on a store that failed.
  #databases = /* @__PURE__ */ new Map();
  async load(account) {
    const database = await this.#open(account);
    const transaction = database.transaction(TABLES, "readonly");
    const [users, friends, me, cursor] = await Promise.all([
      result(transaction.objectStore("users").getAll()),
      result(transaction.objectStore("friends").getAll()),
      result(transaction.objectStore("meta").get("me")),
      result(transaction.objectStore("meta").get("cursor"))
    ]);
    return { users, friends, me, cursor };
  }
  async save(account, change) {
    const database = await this.#open(account);
    const transaction = database.transaction(TABLES, "readwrite");
    const [users, friends, meta] = TABLES.map((name) => transaction.objectStore(name));
    const steps = [];
    if (change.clear) for (const table of [users, friends, meta]) steps.push(() => table.clear());
    for (const gone of change.removed ?? []) steps.push(() => users.delete(gone), () => friends.delete(gone));
    if (change.me) steps.push(() => meta.put(change.me, "me"));
    for (const user of change.users ?? []) steps.push(() => users.put(user));
    for (const friend of change.friends ?? []) steps.push(() => friends.put(friend));
    if (change.cursor === null) steps.push(() => meta.delete("cursor"));
    else if (change.cursor !== void 0) steps.push(() => meta.put(change.cursor, "cursor"));
    const done = completion(transaction);
    const next = (from) => {
      let last;
      const until = Math.min(from + BATCH, steps.length);
      for (let i = from; i < until; i++) last = steps[i]?.();
      if (last && until < steps.length) last.onsuccess = () => abortOnThrow(transaction, () => next(until));
    };
    abortOnThrow(transaction, () => next(0));
    await done;
  }
  async wipe(account) {
    const database = await this.#open(account);
    const transaction = database.transaction(TABLES, "readwrite");
    const done = completion(transaction);
    for (const name of TABLES) transaction.objectStore(name).clear();
    await done;
    database.close();
    this.#databases.delete(account);
    await remove(account);
  }
  close() {
    for (const opening of this.#databases.values()) opening.then((database) => database.close(), () => {
    });
    this.#databases.clear();
  }
  #open(account) {
    let opening = this.#databases.get(account);
    if (!opening) this.#databases.set(account, opening = open(account));
    return opening;
  }
};
function open(account, again = true) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error("IndexedDB does not answer")), OPEN_MS);
    const request = indexedDB.open(nameOf(account), SCHEMA);
    request.onupgradeneeded = () => {
      const database = request.result;
      for (const name of [...database.objectStoreNames]) database.deleteObjectStore(name);
      database.createObjectStore("users", { keyPath: "account" });
      database.createObjectStore("friends", { keyPath: "account" });
      database.createObjectStore("meta");
    };
    request.onsuccess = () => {
      clearTimeout(timer);
      const database = request.result;
      database.onversionchange = () => database.close();
      resolve(database);
    };
    request.onerror = () => {
      clearTimeout(timer);
      if (again && request.error?.name === "VersionError") resolve(remove(account).then(() => open(account, false)));
      else reject(request.error);
    };
  });
}
function remove(account) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(nameOf(account));
    request.onsuccess = request.onblocked = () => resolve();
    request.onerror = () => reject(request.error);
  });
}
var nameOf = (account) => `rosterd:${account}`;
function result(request) {
  return new Promise((resolve, reject) => {
    request.onsuccess = () => resolve(request.result);
    request.onerror = () => reject(request.error);
  });
}
function completion(transaction) {
  return new Promise((resolve, reject) => {
    transaction.oncomplete = () => resolve();
    transaction.onabort = () => reject(transaction.error ?? new Error("the transaction was aborted"));
  });
}
function abortOnThrow(transaction, body) {
  try {
    body();
  } catch (error) {
    try {
      transaction.abort();
    } catch {
      throw error;
    }
  }
}
function defaultStore() {
  try {
    if (globalThis.indexedDB) return new IndexedDbStore();
  } catch {
  }
  return new MemoryStore();
}
function isSound(stored) {
  const record = (value) => {
    const { account, version } = value ?? {};
    return typeof account === "string" && Number.isSafeInteger(version);
  };
  const { me, users, friends, cursor } = stored;
  return (me === void 0 || record(me)) && Array.isArray(users) && users.every(record) && Array.isArray(friends) && friends.every(record) && (cursor === void 0 || typeof cursor === "string");
}

// src/saver.ts
var gathered = (clear = false) => ({ clear, removed: /* @__PURE__ */ new Set(), users: /* @__PURE__ */ new Map(), friends: /* @__PURE__ */ new Map() });
var Saver = class {
  // Gone for good after a failure: what it holds is whole, with the cursor of that time, and good for the next start.
  #store;
  #account;
  #failed;
  #next;
  #writing;
  constructor(store, account, failed) {
    this.#store = store;
    this.#account = account;
    this.#failed = failed;
  }
  /** What was kept, if anything, and only if it makes sense. */
  async load() {
    try {
      const stored = await this.#store?.load(this.#account);
      if (stored === void 0 || isSound(stored)) return stored;
      throw new TypeError("the records are damaged");
    } catch (cause) {
      this.#failed("reading", cause);
      await this.wipe();
      return void 0;
    }
  }
  save(change) {
    if (!this.#store) return;
    if (change.clear) this.#next = gathered(true);
    const next = this.#next ??= gathered();
    for (const account of change.removed ?? []) {
      next.removed.add(account);
      next.users.delete(account);
      next.friends.delete(account);
    }
    if (change.me) next.me = change.me;
    for (const user of change.users ?? []) next.users.set(user.account, user);
    for (const friend of change.friends ?? []) next.friends.set(friend.account, friend);
    if (change.cursor !== void 0) next.cursor = change.cursor;
    this.#writing ??= this.#write();
  }
  /** Everything is written, or given up. */
  async idle() {
    while (this.#writing) await this.#writing;
  }
  async wipe() {
    this.#next = void 0;
    await this.idle();
    await this.#try("wiping", (store) => store.wipe(this.#account));
  }
  async #write() {
    await void 0;
    for (let next = this.#next; next; next = this.#next) {
      this.#next = void 0;
      const change = {
        clear: next.clear,
        removed: [...next.removed],
        me: next.me,
        users: [...next.users.values()],
        friends: [...next.friends.values()],
        cursor: next.cursor
      };
      await this.#try("writing", (store) => store.save(this.#account, change));
    }
    this.#writing = void 0;
  }
  async #try(what, action) {
    try {
      if (this.#store) await action(this.#store);
    } catch (cause) {
      this.#store = void 0;
      this.#failed(what, cause);
    }
  }
};

// src/client.ts
var TIMER_MAX_MS = 2 ** 31 - 1;
var LOOKUP_MAX = 150;
var LOGOUT_MS = 2e3;
var PROBE_MS = 5e3;
var REFRESH_LEAD_MS = 6e4;
var REFRESH_PAUSE_MS = 1e3;
var RosterdClient = class {
  #options;
  #url;
  #emitter = new Emitter();
  #replica = new Replica();
  #calls = new Calls();
  #saver;
  #state = "disconnected";
  // Whether the application wants a connection: from connect() to disconnect(), logout(), or an end for good.
  #wanted = false;
  // Counts attempts, so that what an older one awaited does nothing when it arrives.
  #run = 0;
  #cacheRead = false;
  #connection;
  #loginId = 0;
  #loginError;
  #login;
  // Settled by the first `synced`, or by an end for good.
  #connected;
  // Attempts since the last `synced`.
  #attempt = 0;
  #retry;
  // A logout is under way: the end of the connection is what was asked for.
  #leaving = false;
  #resync = false;
  #token;
  #tokenEnded = false;
  #expiresAt;
  // The gateway's clock minus ours.
  #skew = 0;
  #refresh;
  constructor(options) {
    if (typeof options?.account !== "string" || options.account === "") throw new TypeError("options.account is missing");
    this.#options = options;
    this.#url = options.url ?? defaultUrl();
    this.#token = options.token;
    const { store = "auto" } = options;
    this.#saver = new Saver(
      store === "auto" ? defaultStore() : store === "memory" ? new MemoryStore() : store,
      options.account,
      (what, cause) => this.#error(Code.internal, "STORE", `${what} the local store failed`, cause)
    );
  }
  get account() {
    return this.#options.account;
  }
  get url() {
    return this.#url;
  }
  get state() {
    return this.#state;
  }
  /** The own profile as last known. Records are never changed in place. */
  get me() {
    return this.#replica.me;
  }
  /** The friends' profiles by account. A full sync puts another map here. */
  get users() {
    return this.#replica.users;
  }
  /** The relations by account. */
  get friends() {
    return this.#replica.friends;
  }
  get paused() {
    return this.#connection?.paused ?? false;
  }
  /** Returns the function that takes the listener off again. */
  on(event, listener) {
    return this.#emitter.on(event, listener);
  }
  off(event, listener) {
    this.#emitter.off(event, listener);
  }
  /**
   * Reads the cache, connects, and stays connected. Resolves at the first `synced`; rejects if there is no point in
   * trying further, a token that is not accepted for instance. An unreachable gateway is tried for ever.
   */
  connect() {
    if (this.#state === "live") return Promise.resolve();
    const connected = this.#connected ??= deferred();
    if (!this.#wanted) {
      this.#wanted = true;
      this.#attempt = 0;
      this.#tokenEnded = false;
      this.#watchPage(true);
      void this.#begin();
    } else if (this.#retry) {
      void this.#begin();
    }
    return connected.promise;
  }
  /** Closes the connection and stays away. What is held stays, and so does the cache. */
  async disconnect() {
    this.#stop();
    await this.#saver.idle();
  }
  /** Leaves in order. With `forget`, what is held and what is stored of this account is wiped. */
  async logout({ forget = false } = {}) {
    if (this.#login && !this.#leaving) {
      this.#leaving = true;
      try {
        await this.#call({ logout: {} }, { repeatable: false, timeoutMs: LOGOUT_MS });
      } catch {
      }
      this.#leaving = false;
    }
    this.#stop();
    if (!forget) return this.#saver.idle();
    this.#replica.clear();
    this.#token = this.#options.token;
    await this.#saver.wipe();
  }
  /**
   * Changes fields of the own profile; the promise brings the profile as it then stands. With `ifVersion` only if
   * that is still its version (412 otherwise), and such a call is not repeated if the connection is lost under it.
   */
  async updateMyInfo(fields, { ifVersion } = {}) {
    const command = { updateMyInfo: { ...fields, ifVersion } };
    const { updateMyInfoReply } = await this.#call(command, { repeatable: ifVersion === void 0 });
    return answered(updateMyInfoReply).user;
  }
  /**
   * Profiles of any accounts. Those of friends and the own one are taken from what is held unless `fresh`; others are
   * asked for each time, as nobody tells when they change. `missing` are accounts that do not exist.
   */
  async getUsers(accounts, { fresh = false } = {}) {
    const wanted = [...new Set(accounts)];
    const found = /* @__PURE__ */ new Map();
    for (const account of fresh ? [] : wanted) {
      const held = account === this.me?.account ? this.me : this.friends.has(account) ? this.users.get(account) : void 0;
      if (held) found.set(account, held);
    }
    const ask = wanted.filter((account) => !found.has(account));
    const parts = Array.from({ length: Math.ceil(ask.length / LOOKUP_MAX) }, (_, i) => ask.slice(i * LOOKUP_MAX, (i + 1) * LOOKUP_MAX));
    const replies = await Promise.all(parts.map((part) => this.#call({ getUsers: { accounts: part } }, { repeatable: true })));
    for (const { getUsersReply } of replies) for (const user of answered(getUsersReply).users ?? []) found.set(user.account, user);
    return {
      users: wanted.flatMap((account) => found.get(account) ?? []),
      missing: wanted.filter((account) => !found.has(account))
    };
  }
  /** One profile; 404 if the account does not exist. */
  async getUser(account, options = {}) {
    const { users } = await this.getUsers([account], options);
    if (!users[0]) throw new RosterdError(Code.notFound, "NOT_FOUND", `there is no account ${account}`);
    return users[0];
  }
  /** Drops the connection as a failing network would. For tests and demonstrations. */
  cut() {
    this.#connection?.drop("cut");
  }
  /** Stops reading, where the WebSocket can; elsewhere frames are held back. Ends with the connection. */
  pause() {
    this.#connection?.pause();
  }
  resume() {
    this.#connection?.resume();
  }
  // ---- one attempt after the other
  async #begin() {
    const run = ++this.#run;
    clearTimeout(this.#retry?.timer);
    this.#retry = void 0;
    this.#setState("connecting");
    if (!this.#cacheRead) await this.#readCache(run);
    if (run !== this.#run) return;
    let token;
    try {
      token = await this.#takeToken();
    } catch (cause) {
      if (run !== this.#run) return;
      this.#error(Code.unauthenticated, "NO_TOKEN", "getToken failed", cause);
      return this.#ended({ code: 1006, reason: "getToken failed" });
    }
    if (run !== this.#run) return;
    this.#loginError = void 0;
    this.#resync = false;
    try {
      const connection = new Connection(this.#url, webSocket(this.#options), {
        opened: () => {
          this.#loginId = this.#calls.nextId();
          const { device } = this.#options;
          connection.send({ id: this.#loginId, login: { token, cursor: this.#replica.cursor, device } });
        },
        frame: (frame) => this.#frame(frame, connection),
        ended: (end) => this.#ended(end),
        trace: (direction, frame) => this.#trace(direction, frame)
      });
      this.#connection = connection;
    } catch (cause) {
      this.#giveUp({ code: 1006, reason: "NO_CONNECTION" }, new RosterdError(Code.internal, "NO_CONNECTION", String(cause?.message ?? cause), { cause }));
    }
  }
  async #readCache(run) {
    const stored = await this.#saver.load();
    if (run !== this.#run) return;
    this.#cacheRead = true;
    if (!stored) return;
    this.#replica.load(stored);
    const { me, users, friends } = stored;
    if (me) this.#emitter.emit("me", me, "cache");
    if (!me && !users.length && !friends.length) return;
    this.#emitter.emit("users", users, "cache");
    this.#emitter.emit("friends", friends, "cache");
  }
  #frame(frame, connection) {
    if (frame.id === this.#loginId && frame.error) {
      this.#loginError = RosterdError.from(frame.error);
      return;
    }
    if (frame.loginReply) {
      const { account } = frame.loginReply;
      if (account !== this.account) {
        const error = new RosterdError(Code.denied, "OTHER_ACCOUNT", `the token is ${account}'s, not ${this.account}'s`);
        connection.close();
        return this.#giveUp({ code: 1e3, reason: "OTHER_ACCOUNT" }, error);
      }
      this.#login = frame.loginReply;
      connection.loggedIn(frame.loginReply.heartbeatMs);
    }
    let difference;
    try {
      difference = this.#replica.take(frame);
    } catch (cause) {
      this.#error(Code.internal, "BAD_FRAME", "a frame could not be applied", cause);
      return connection.drop("a frame could not be applied");
    }
    if (difference) this.#saver.save(difference.save);
    if (frame.loginReply) this.#loggedIn(frame.loginReply, connection);
    if (difference?.how === "sync") this.#synced(difference, frame, connection);
    else if (difference) this.#news(difference);
    if (!this.#calls.settle(frame) && frame.error) this.#emitter.emit("error", RosterdError.from(frame.error));
  }
  #loggedIn(login, connection) {
    this.#tokenEnded = false;
    this.#skew = login.serverTime - Date.now();
    this.#expires(login.expiresAt);
    this.#setState("syncing");
    this.#calls.flush((frame) => connection.send(frame));
  }
  #synced(difference, frame, connection) {
    const { count = 0, digest: digest2 = 0 } = frame.synced ?? {};
    if (difference.mismatch) {
      this.#error(Code.internal, "OUT_OF_STEP", `what is held is not what the gateway holds; ${difference.mismatch === "retry" ? "getting it anew" : "it was got anew already"}`);
    }
    if (difference.mismatch === "retry") {
      this.#resync = true;
      return connection.drop("out of step");
    }
    const { me, users, friends, removed, full } = difference;
    const { sync = "full", because } = this.#login ?? {};
    if (me) this.#emitter.emit("me", me, "sync");
    if (full || users.length) this.#emitter.emit("users", users, "sync");
    if (full || friends.length) this.#emitter.emit("friends", friends, "sync");
    for (const account of removed) this.#emitter.emit("friendRemoved", account);
    if (this.#connection !== connection) return;
    this.#attempt = 0;
    this.#setState("live");
    this.#emitter.emit("synced", { sync, ...because === void 0 ? {} : { because }, count, digest: digest2 });
    this.#connected?.resolve();
    this.#connected = void 0;
  }
  #news({ how, me, users, friends, removed }) {
    for (const account of removed) this.#emitter.emit("friendRemoved", account);
    if (me) this.#emitter.emit("me", me, how);
    for (const user of users) this.#emitter.emit("userUpdated", user);
    if (friends.length) this.#emitter.emit("friends", friends, "update");
  }
  // ---- ends
  #ended(end) {
    this.#detach();
    this.#calls.interrupted();
    if (this.#leaving) return;
    const { code, reason, goodbye } = end;
    const { getToken, reconnect = true } = this.#options;
    const renew = code === Close.tokenExpired && getToken !== void 0;
    const refused = this.#loginError && this.#loginError.code < 500 && !renew;
    if (!this.#resync && (!reconnect || refused || !(renew || comesBack(code)))) {
      const error = this.#loginError ?? closeError(end);
      if (getToken && error.code === Code.unauthenticated) this.#token = void 0;
      return this.#giveUp(end, error);
    }
    const atOnce = this.#resync || renew && !this.#tokenEnded;
    if (renew) {
      this.#token = void 0;
      this.#tokenEnded = true;
    }
    const told = goodbye?.retryAfterMs ?? this.#loginError?.retryAfterMs;
    const { minMs = 500, maxMs = 2e4 } = this.#options.backoff ?? {};
    const jittered = Math.random() * Math.min(maxMs, minMs * 2 ** this.#attempt);
    const delayMs = Math.min(Math.round(atOnce ? 0 : told ?? jittered), TIMER_MAX_MS);
    const attempt = ++this.#attempt;
    this.#retry = { timer: setTimeout(() => void this.#begin(), delayMs), asTold: told !== void 0 };
    const run = this.#run;
    this.#setState("disconnected");
    this.#emitter.emit("disconnected", { code, reason, willReconnect: true });
    if (run === this.#run) this.#emitter.emit("willReconnect", { attempt, delayMs });
  }
  #giveUp({ code, reason }, error) {
    this.#halt(error);
    this.#setState("disconnected");
    this.#emitter.emit("disconnected", { code, reason, willReconnect: false, error });
    this.#emitter.emit("error", error);
  }
  #stop() {
    const was = this.#state;
    const open2 = this.#wanted || was !== "disconnected";
    this.#connection?.close();
    this.#halt(new RosterdError(Code.timeout, "DISCONNECTED", "the client was disconnected"));
    this.#setState("disconnected");
    if (open2) this.#emitter.emit("disconnected", { code: 1e3, reason: "CLIENT", willReconnect: false });
  }
  /** Nothing goes on by itself after this. */
  #halt(error) {
    this.#wanted = false;
    this.#run++;
    clearTimeout(this.#retry?.timer);
    this.#retry = void 0;
    this.#watchPage(false);
    this.#detach();
    this.#calls.fail(error);
    this.#connected?.reject(error);
    this.#connected = void 0;
  }
  #detach() {
    this.#connection = void 0;
    this.#login = void 0;
    clearTimeout(this.#refresh);
    this.#replica.interrupted();
  }
  // The network or the reader is back: no reason to wait, unless the gateway itself named the time, for all clients.
  // A connection that seems to be there may have died meanwhile without a word; any answer shows that it has not.
  #wake = () => {
    if (globalThis.document?.visibilityState === "hidden") return;
    if (this.#retry && !this.#retry.asTold) return void this.#begin();
    if (this.#state !== "live") return;
    this.#connection?.expectWithin(PROBE_MS);
    this.#call({ getUsers: { accounts: [this.account] } }, { repeatable: false, timeoutMs: PROBE_MS }).catch(() => {
    });
  };
  #watchPage(on) {
    const method = on ? "addEventListener" : "removeEventListener";
    globalThis[method]?.("online", this.#wake);
    globalThis.document?.[method]?.("visibilitychange", this.#wake);
  }
  // ---- tokens
  async #takeToken() {
    const { getToken, account } = this.#options;
    if (!getToken) return this.#token ?? account;
    const ended = this.#expiresAt !== void 0 && Date.now() + this.#skew >= this.#expiresAt;
    if (this.#token === void 0 || ended) {
      this.#token = await getToken(this.#tokenEnded || ended ? "expired" : "connect");
      this.#expiresAt = void 0;
    }
    return this.#token;
  }
  /** Sees to it that the token is followed by another before it ends. */
  #expires(at) {
    this.#expiresAt = at;
    clearTimeout(this.#refresh);
    if (at === void 0 || !this.#options.getToken) return;
    const left = at - Date.now() - this.#skew;
    const wait = Math.max(REFRESH_PAUSE_MS, left - Math.min(REFRESH_LEAD_MS, left / 5));
    if (left <= 0) return;
    if (wait > TIMER_MAX_MS) this.#refresh = setTimeout(() => this.#expires(at), TIMER_MAX_MS);
    else this.#refresh = setTimeout(() => void this.#renew(at), wait);
  }
  async #renew(endsAt) {
    const connection = this.#connection;
    try {
      const token = await this.#options.getToken?.("refresh");
      if (token === void 0 || connection !== this.#connection) return;
      const { refreshReply } = await this.#call({ refresh: { token } }, { repeatable: false });
      this.#token = token;
      if (connection === this.#connection) this.#expires(refreshReply?.expiresAt);
    } catch (cause) {
      if (connection !== this.#connection) return;
      this.#error(Code.unauthenticated, "REFRESH_FAILED", "the token could not be renewed; the old one is used until it ends", cause);
      this.#expires(endsAt);
    }
  }
  // ---- small things
  #call(command, { repeatable, timeoutMs }) {
    const reply = this.#calls.add(command, timeoutMs ?? this.#options.requestTimeoutMs ?? 8e3, repeatable);
    const connection = this.#connection;
    if (connection && this.#login) this.#calls.flush((frame) => connection.send(frame));
    return reply;
  }
  #setState(state) {
    const previous = this.#state;
    if (state === previous) return;
    this.#state = state;
    this.#emitter.emit("state", state, previous);
  }
  #error(code, reason, message, cause) {
    this.#emitter.emit("error", new RosterdError(code, reason, message, { cause }));
  }
  #trace(direction, frame) {
    if (!this.#emitter.has("frame")) return;
    const { login, refresh } = frame;
    const blanked = login ? { ...frame, login: { ...login, token: "…" } } : refresh ? { ...frame, refresh: { token: "…" } } : frame;
    this.#emitter.emit("frame", { direction, frame: blanked });
  }
};
function closeError({ code, reason }) {
  if (comesBack(code)) return new RosterdError(Code.timeout, "CONNECTION_LOST", `the connection ended (${code} ${reason})`);
  const auth = code === 3500 || code === Close.tokenExpired;
  return new RosterdError(auth ? Code.unauthenticated : code, reason, `the gateway closed the connection for good (${code} ${reason})`);
}
function answered(reply) {
  if (reply === void 0) throw new RosterdError(Code.internal, "BAD_FRAME", "the reply is not one to this command");
  return reply;
}
function webSocket(options) {
  const found = options.WebSocket ?? globalThis.WebSocket;
  if (!found) throw new TypeError('this platform has no WebSocket: give one as options.WebSocket, for instance that of "ws"');
  return found;
}
function defaultUrl() {
  const from = /^http(s?):\/\/([^/]+)\/sdk\//.exec(import.meta.url ?? "");
  return from ? `ws${from[1]}://${from[2]}/v1/ws` : "ws://127.0.0.1:7678/v1/ws";
}
function deferred() {
  let settle;
  const promise = new Promise((resolve, reject) => settle = { resolve, reject });
  promise.catch(() => {
  });
  return { promise, ...settle };
}

// src/merge.ts
var list = (value) => value === null || value === void 0 ? [] : Array.isArray(value) ? value : [value];
function merge(...objects) {
  const out = {};
  for (const object of objects) {
    for (const [key, value] of Object.entries(object ?? {})) if (value !== void 0) out[key] = value;
  }
  return out;
}
function mergeByAccount(old, news) {
  const map = /* @__PURE__ */ new Map();
  for (const record of [...list(old), ...list(news)]) map.set(record.account, merge(map.get(record.account), record));
  return [...map.values()];
}
function cutByAccount(old, gone) {
  const accounts = new Set(list(gone).map((entry) => typeof entry === "string" ? entry : entry.account));
  return list(old).filter((record) => !accounts.has(record.account));
}

// src/nim-errors.ts
var WRONG_TOKEN = 302;
var NETWORK = 415;
var CLOSE = { 3500: WRONG_TOKEN, 3501: 509, 3502: 408, 3505: 422, 3506: WRONG_TOKEN };
var REFUSALS = [302, 403, 404];
function failure(error, callFunc) {
  const { code = 500, message = String(error) } = error ?? {};
  const { reason, field } = error instanceof RosterdError ? error : {};
  const event = { callFunc };
  if (reason !== void 0) event.reason = reason;
  if (field !== void 0) event.field = field;
  return { code, message, event };
}
function networkCode(close, error) {
  return CLOSE[close] ?? (error && REFUSALS.includes(error.code) ? WRONG_TOKEN : NETWORK);
}

// src/nim-options.ts
var KNOWN = {
  appKey: true,
  account: true,
  token: true,
  url: true,
  db: true,
  needReconnect: true,
  reconnectionAttempts: true,
  quickReconnect: true,
  syncFriends: true,
  syncFriendUsers: true,
  customTag: true,
  cmdTimeout: true,
  skipConnectionOnInitialize: true,
  onconnect: true,
  onwillreconnect: true,
  ondisconnect: true,
  onerror: true,
  onsyncdone: true,
  onmyinfo: true,
  onupdatemyinfo: true,
  onusers: true,
  onupdateuser: true,
  onfriends: true,
  onsyncfriendaction: true,
  onblacklist: true,
  onloginportschange: true
};
var warned = /* @__PURE__ */ new Set();
function warnOfIgnored(options) {
  const ignored = Object.keys(options).filter((name) => !(name in KNOWN) && !warned.has(name));
  if (!ignored.length) return;
  for (const name of ignored) warned.add(name);
  console.warn(`rosterd: these NIM options do nothing here: ${ignored.join(", ")}`);
}

// src/nim.ts
var LOOKUP_MAX2 = 150;
var OWN_FIELDS = ["nick", "avatar", "sign", "gender", "email", "birth", "tel", "custom"];
var servedFrom = scriptAddress();
var instances = /* @__PURE__ */ new Map();
var NIM = class _NIM {
  static util = { merge };
  /** The instance of this account. A later call returns the same one, with the new options, and connects it if it is down. */
  static getInstance(options) {
    const known = instances.get(options?.account);
    if (known) {
      known.setOptions(options);
      known.connect();
      return known;
    }
    const nim = new _NIM(options);
    instances.set(options.account, nim);
    if (!options.skipConnectionOnInitialize) nim.connect();
    return nim;
  }
  #options;
  #client;
  // The token that was shown last; seeing it again after its end means that there is no better one.
  #shownToken;
  // Why the instance disconnected itself, or whose call did.
  #leaving;
  #destroyed = false;
  // Told as the reason of a disconnect already, so it is none for `onerror`.
  #ended;
  // What the application has been told since the last login, so that a cached profile is not told twice.
  #toldMe;
  #toldCache = false;
  // Between login and `onsyncdone`: relations and removals go out together.
  #catchUp;
  constructor(options) {
    warnOfIgnored(options);
    this.#options = options;
    this.#client = new RosterdClient({
      url: options.url ?? servedFrom,
      account: options.account,
      getToken: (why) => this.#token(why),
      store: options.db === false ? "memory" : "auto",
      reconnect: options.needReconnect,
      requestTimeoutMs: options.cmdTimeout,
      device: options.customTag === void 0 ? void 0 : { tag: options.customTag }
    });
    this.#listen();
  }
  get account() {
    return this.#client.account;
  }
  /** Other values for options, callbacks included: they count from now on, a token from the next login on. */
  setOptions(options) {
    warnOfIgnored(options);
    this.#options = merge(this.#options, options);
  }
  connect() {
    if (this.#destroyed) return console.warn(`rosterd: the NIM instance of ${this.account} is destroyed`);
    this.#leaving = void 0;
    this.#client.connect().catch(() => {
    });
  }
  /** Ends the connection; `connect` comes back and goes on from what is held. */
  disconnect(options = {}) {
    this.#leave("disconnect", options?.done);
  }
  /** Ends the connection and the instance; the next `getInstance` makes another. */
  destroy(options = {}) {
    this.#destroyed = true;
    if (instances.get(this.account) === this) instances.delete(this.account);
    this.#leave("destroy", options?.done);
  }
  updateMyInfo(options) {
    const fields = Object.fromEntries(OWN_FIELDS.map((name) => [name, options[name]]));
    this.#answer("updateMyInfo", options.done, async () => card(await this.#client.updateMyInfo(fields)));
  }
  /** From what is held if that is kept up to date, unless `sync`; otherwise from the gateway. */
  getUser(options) {
    const { account, sync: fresh = false, done } = options;
    this.#answer("getUser", done, async () => card(await this.#client.getUser(account, { fresh })));
  }
  /** As `getUser`, at most 150. Accounts that do not exist are left out. */
  getUsers(options) {
    const { accounts, sync: fresh = false, done } = options;
    this.#answer("getUsers", done, async () => {
      if (!Array.isArray(accounts)) throw { code: 414, message: "accounts must be a list" };
      if (accounts.length > LOOKUP_MAX2) throw { code: 419, message: `accounts may be at most ${LOOKUP_MAX2}` };
      return (await this.#client.getUsers(accounts, { fresh })).users.map(card);
    });
  }
  /** A new list: profiles of known accounts get the newer fields, others are appended. */
  mergeUsers(users, news) {
    return mergeByAccount(users, news);
  }
  /** A new list, as `mergeUsers` does it. */
  mergeFriends(friends, news) {
    return mergeByAccount(friends, news);
  }
  /** A new list without those in `gone`, which is the `invalid` of what `onfriends` brought. */
  cutFriends(friends, gone) {
    return cutByAccount(friends, gone);
  }
  cutFriendsByAccounts(friends, accounts) {
    return cutByAccount(friends, accounts);
  }
  findUser(users, account) {
    return users?.find((user) => user.account === account) ?? null;
  }
  findFriend(friends, account) {
    return friends?.find((friend) => friend.account === account) ?? null;
  }
  #listen() {
    const client = this.#client;
    const on = (event, listener) => void client.on(event, listener);
    on("state", (state) => {
      if (state === "syncing") this.#connected();
    });
    on("me", (user, how) => {
      if (how === "sync") this.#tellMe(user);
      else if (how === "update") this.#tell("onupdatemyinfo", card(user));
    });
    on("users", (users, how) => {
      if (how === "sync") this.#tellUsers(users);
    });
    on("userUpdated", (user) => this.#tell("onupdateuser", card(user)));
    on("friends", (friends, how) => {
      if (how === "update") this.#tellFriends(friends, []);
      else if (this.#catchUp) this.#catchUp.friends = friends;
    });
    on("friendRemoved", (account) => {
      if (this.#catchUp) this.#catchUp.removed.push(account);
      else this.#tellFriends([], [account]);
    });
    on("synced", () => {
      const { friends, removed } = this.#catchUp ?? { removed: [] };
      this.#catchUp = void 0;
      if (friends || removed.length) this.#tellFriends(friends ?? [], removed);
      this.#tell("onsyncdone");
    });
    on("willReconnect", ({ attempt, delayMs }) => {
      const { reconnectionAttempts } = this.#options;
      if (reconnectionAttempts !== void 0 && attempt > reconnectionAttempts) {
        this.#leaving = { code: "allAttemptsFailed", message: `${reconnectionAttempts} attempts to connect failed`, callFunc: "connect" };
        void client.disconnect();
      } else {
        this.#tell("onwillreconnect", { retryCount: attempt, duration: delayMs });
      }
    });
    on("disconnected", (ended) => {
      this.#catchUp = void 0;
      this.#toldMe = void 0;
      if (ended.willReconnect) return;
      this.#ended = ended.error;
      const message = ended.error?.message ?? ended.reason;
      this.#tell("ondisconnect", this.#leaving ?? { code: networkCode(ended.code, ended.error), message });
    });
    on("error", (error) => {
      if (error !== this.#ended) this.#tell("onerror", failure(error, "connection"));
    });
  }
  /** Logged in. What is cached goes out first, for what follows is only the difference to it. */
  #connected() {
    this.#catchUp = { removed: [] };
    const { customTag } = this.#options;
    this.#tell("onconnect", { lastLoginDeviceId: "", connectionId: "", ip: "", port: "", ...customTag === void 0 ? {} : { customTag } });
    if (this.#toldCache) return;
    this.#toldCache = true;
    const { me, users, friends } = this.#client;
    if (!me) return;
    this.#tellMe(me);
    this.#tellUsers([...users.values()]);
    this.#tellFriends([...friends.values()], []);
  }
  #tellMe(user) {
    if (user === this.#toldMe) return;
    this.#toldMe = user;
    this.#tell("onmyinfo", card(user));
  }
  #tellUsers(users) {
    if (this.#options.syncFriendUsers !== false) this.#tell("onusers", users.map(card));
  }
  #tellFriends(friends, removed) {
    if (this.#options.syncFriends === false) return;
    const list2 = friends.map((friend) => ({ ...relation(friend), valid: true }));
    list2.invalid = removed.map((account) => ({ account, valid: false, createTime: 0, updateTime: 0 }));
    this.#tell("onfriends", list2);
  }
  #token(why) {
    const token = this.#options.token ?? this.account;
    if (why === "expired" && token === this.#shownToken) {
      const message = "the token has ended, and no other was set in onwillreconnect";
      this.#leaving = { code: WRONG_TOKEN, message };
      void this.#client.disconnect();
    }
    return this.#shownToken = token;
  }
  #leave(callFunc, done) {
    this.#leaving = { code: "alreadyDisconnected", message: `${callFunc} was called`, callFunc };
    this.#answer(callFunc, done, async () => {
      await this.#client.disconnect();
      return {};
    });
  }
  #tell(name, ...args) {
    safely(() => this.#options[name]?.(...args));
  }
  #answer(callFunc, done, ask) {
    ask().then(
      (data) => safely(() => done?.(null, data)),
      (error) => safely(() => done?.(failure(error, callFunc), void 0))
    );
  }
};
function card({ version: _, ...fields }) {
  return fields;
}
function relation({ version: _, ...fields }) {
  return fields;
}
function safely(callback) {
  try {
    callback();
  } catch (error) {
    if (typeof globalThis.reportError === "function") globalThis.reportError(error);
    else console.error(error);
  }
}
function scriptAddress() {
  const script = globalThis.document?.currentScript?.src;
  const from = /^http(s?):\/\/([^/]+)\//.exec(script ?? "");
  return from ? `ws${from[1]}://${from[2]}/v1/ws` : void 0;
}
export {
  NIM
};
