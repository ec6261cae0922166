// src/timers.ts
var TIMER_MAX_MS = 2 ** 31 - 1;
function after(ms, action) {
  let timer;
  const wait = (left) => {
    const part = Math.min(left, TIMER_MAX_MS);
    timer = setTimeout(() => left > part ? wait(left - part) : action(), part);
  };
  if (ms !== Infinity) wait(ms);
  return () => clearTimeout(timer);
}
function within(ms, what, run) {
  return new Promise((resolve, reject) => {
    const timer = setTimeout(() => reject(new Error(`${what} did not settle within ${ms} ms`)), ms);
    unref(timer);
    new Promise((settle) => settle(run())).then(resolve, reject).finally(() => clearTimeout(timer));
  });
}
function pause() {
  return new Promise((resolve) => {
    const { port1, port2 } = new MessageChannel();
    port1.onmessage = () => {
      port1.close();
      resolve();
    };
    port2.postMessage(0);
  });
}
function unref(handle) {
  handle?.unref?.();
}
function deferred() {
  let settle;
  const promise = new Promise((resolve, reject) => settle = { resolve, reject });
  promise.catch(() => {
  });
  return { promise, ...settle };
}
function onAbort({ signal }, act) {
  const aborted = () => act(signal?.reason);
  if (signal?.aborted) aborted();
  signal?.addEventListener("abort", aborted);
  return () => signal?.removeEventListener("abort", aborted);
}

// src/emitter.ts
var Emitter = class {
  #listeners = /* @__PURE__ */ new Map();
  on(event, listener, options = {}) {
    let stop;
    const off = () => {
      this.off(event, listener);
      stop?.();
    };
    let all = this.#listeners.get(event);
    if (!all) this.#listeners.set(event, all = /* @__PURE__ */ new Set());
    all.add(listener);
    stop = onAbort(options, off);
    return off;
  }
  /** Adds a listener for the next event of this kind. */
  once(event, listener, options) {
    const wrapped = (...args) => {
      off();
      return listener(...args);
    };
    const off = this.on(event, wrapped, options);
    return off;
  }
  off(event, listener) {
    this.#listeners.get(event)?.delete(listener);
  }
  clear() {
    this.#listeners.clear();
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

// src/protocol.ts
var Code = {
  unauthenticated: 302,
  denied: 403,
  notFound: 404,
  timeout: 408,
  mismatch: 412,
  invalid: 414,
  internal: 500
};
var Close = { kicked: 3503, sessionLimit: 3504, tokenExpired: 3506 };
function comesBack(code) {
  return code < 3500 || code > 3999;
}
var RosterdError = class _RosterdError extends Error {
  constructor(code, reason, message, more = {}) {
    super(message, more);
    this.name = "RosterdError";
    this.code = code;
    this.reason = reason;
    this.field = more.field;
    this.retryAfterMs = more.retryAfterMs;
    this.detail = more.detail;
  }
  static from(body) {
    return new _RosterdError(body.code, body.reason, body.message, body);
  }
};
var UnauthorizedError = class _UnauthorizedError extends RosterdError {
  constructor(message = "the application has no token for this account", more = {}) {
    super(Code.unauthenticated, "UNAUTHORIZED", message, more);
    this.name = "UnauthorizedError";
  }
  /** Recognizes the error by its name as well, because a page may have loaded this library twice. */
  static is(error) {
    return error instanceof _UnauthorizedError || error?.name === "UnauthorizedError";
  }
};

// src/fields.ts
function checkFields({ fields = {}, backendOnly = [] }, info) {
  const own = Object.entries(info.fields ?? {}).filter(([, value]) => value !== void 0);
  const ofBackend = backendOnly.filter((name) => info[name] !== void 0).concat(own.filter(([name]) => fields[name]?.write === "backend").map(([name]) => `fields.${name}`));
  for (const field of ofBackend) throw new RosterdError(Code.denied, "PERMISSION_DENIED", `only the backend may write ${field}`, { field });
  for (const [name, value] of own) {
    const known = fields[name];
    const field = `fields.${name}`;
    if (value === null || known && holds(known, value)) continue;
    throw new RosterdError(Code.invalid, "INVALID_ARGUMENT", known ? `${field} must be ${JSON.stringify(known)}` : `there is no field ${field}`, { field });
  }
}
function holds({ type, min = -Infinity, max = Infinity, maxLength = Infinity, maxItems = Infinity, values }, value) {
  const isText = (text) => typeof text === "string" && [...text].length <= maxLength && !text.includes("\0") && (!values || values.includes(text));
  switch (type) {
    case "text":
      return isText(value);
    case "list":
      return Array.isArray(value) && value.length <= maxItems && value.every(isText);
    case "boolean":
      return typeof value === "boolean";
    case "integer":
    case "number":
      return typeof value === "number" && value >= min && value <= max && (type === "number" || Number.isInteger(value));
    default:
      return true;
  }
}

// src/announce.ts
function announceStored(emitter, { me, users, friends, requests, blocks }) {
  if (me) emitter.emit("me", me, "cache");
  if (!me && !users.length && !friends.length) return;
  emitter.emit("users", users, "cache");
  emitter.emit("friends", friends, "cache");
  if (requests.length) emitter.emit("requests", requests, "cache");
  if (blocks.length) emitter.emit("blocks", blocks, "cache");
}
function announceSync(emitter, difference) {
  const { me, users, friends, removed, full } = difference;
  if (me) emitter.emit("me", me, "sync");
  if (full || users.length) emitter.emit("users", users, "sync");
  if (full || friends.length) emitter.emit("friends", friends, "sync");
  for (const account of removed) emitter.emit("friendRemoved", account);
  announceRest(emitter, difference, "sync");
}
function announceUpdate(emitter, difference) {
  const { how, me, users, friends, removed } = difference;
  for (const account of removed) emitter.emit("friendRemoved", account);
  if (me) emitter.emit("me", me, how);
  for (const user of users) emitter.emit("userUpdated", user);
  if (friends.length) emitter.emit("friends", friends, "update");
  announceRest(emitter, difference, "update");
}
function announceRest(emitter, { requests, blocks, presence, sessions, full }, how) {
  if (full || requests.length) emitter.emit("requests", requests, how);
  if (full || blocks.length) emitter.emit("blocks", blocks, how);
  if (presence) emitter.emit("presence", presence, how);
  if (sessions) emitter.emit("sessions", sessions);
}

// src/calls.ts
var Calls = class {
  #calls = /* @__PURE__ */ new Map();
  #lastId = 0;
  nextId() {
    return ++this.#lastId;
  }
  /** Adds a call, which the next {@link flush} sends. */
  add(command, timeoutMs, options) {
    const id = this.nextId();
    return new Promise((resolve, reject) => {
      const cancel = after(timeoutMs, () => {
        const sent = this.#calls.get(id)?.sent;
        this.#end(id, new RosterdError(Code.timeout, "TIMEOUT", `${sent ? "no answer" : "no connection"} within ${timeoutMs} ms`));
      });
      const { kept, limits = {} } = options;
      const call = { ...options, command, sent: false, base: kept, doubt: kept ? "yes" : "no", cancelTimeout: cancel, resolve, reject };
      this.#calls.set(id, call);
      const stop = onAbort(limits, (reason) => this.#end(id, reason));
      call.cancelTimeout = () => (cancel(), stop());
    });
  }
  /** Sends waiting calls, oldest first; those about a record that is in doubt wait for its settlement. */
  flush(send) {
    const doubtful = /* @__PURE__ */ new Set();
    for (const [id, call] of this.#calls) {
      const { setting, doubt } = call;
      const waits = setting && doubtful.has(setting.key);
      if (setting && doubt !== "no") doubtful.add(setting.key);
      if (call.sent || doubt === "yes" || waits) continue;
      call.base ??= { version: setting?.version() };
      call.sent = send({ id, ...call.command });
    }
  }
  /** Notes the versions of a complete catch-up: the gateway executes what was sent before its end after it. */
  caughtUp() {
    for (const { setting, base, sent, doubt } of this.#calls.values()) if (base && sent && doubt === "no") base.version = setting?.version();
  }
  /** Settles commands in doubt after a catch-up, the oldest of each record first. */
  reconsider(send) {
    const busy = /* @__PURE__ */ new Set();
    for (const [id, call] of [...this.#calls]) {
      const { setting, doubt, base } = call;
      if (!setting || doubt === "no" && !call.sent) continue;
      if (doubt === "yes" && !busy.has(setting.key)) {
        if (this.#compared(id, call)) continue;
        const [[name, body]] = Object.entries(call.command);
        call.command = { [name]: { ...body, ifVersion: base?.version } };
        call.doubt = "repeated";
      }
      busy.add(setting.key);
    }
    this.flush(send);
  }
  /** Hands a reply or an error to its caller; false if there is none. */
  settle(frame) {
    const id = frame.id ?? 0;
    const call = this.#calls.get(id);
    if (!call) return false;
    if (call.doubt === "repeated" && frame.error?.code === Code.mismatch) {
      call.doubt = "refused";
      if (!this.#compared(id, call) && call.command.block?.ifVersion === 0) this.#end(id, lost());
      return true;
    }
    if (frame.error) {
      this.#end(id, RosterdError.from(frame.error));
    } else {
      call.answer = frame;
      if (!call.here || call.here()) this.#end(id);
    }
    return true;
  }
  /** Ends answered calls whose effect is visible; with `all`, every answered one. */
  applied(all) {
    for (const [id, call] of this.#calls) {
      if (call.doubt === "refused") this.#compared(id, call);
      else if (call.answer && (all || call.here?.())) this.#end(id);
    }
  }
  /** Ends a command in doubt if what is held shows it, or is not what the command rests on. */
  #compared(id, call) {
    const { setting, base } = call;
    const version = setting?.version();
    if (setting?.shown()) call.answer = setting.reply?.() ?? {};
    else if (version !== void 0 && version === base?.version) return false;
    this.#end(id, superseded());
    return true;
  }
  /** Returns whether commands wait, for a connection or for others about the same record. */
  get waiting() {
    return [...this.#calls.values()].some(({ sent }) => !sent);
  }
  /** Handles a lost connection: calls wait for the next one, or for what it brings. */
  interrupted() {
    for (const [id, call] of this.#calls) {
      if (!call.sent) continue;
      if (call.answer || !(call.repeatable || call.setting)) {
        this.#end(id, lost());
        continue;
      }
      call.sent = false;
      if (call.setting) call.doubt = "yes";
    }
  }
  fail(error) {
    for (const [id, call] of [...this.#calls]) {
      if (call.kept) call.ended = void 0;
      this.#end(id, error);
    }
  }
  /** Resolves an answered call, which took effect, or else rejects it. */
  #end(id, error) {
    const call = this.#take(id);
    if (!call) return;
    const { answer, setting, ended } = call;
    if (answer && setting) {
      const from = call.base?.version;
      for (const { setting: other, base } of this.#calls.values()) if (base && base.version === from && other?.key === setting.key) base.version = setting.version();
    }
    ended?.(!answer);
    if (answer) call.resolve(answer);
    else if (error) call.reject(error);
  }
  #take(id) {
    const call = this.#calls.get(id);
    this.#calls.delete(id);
    call?.cancelTimeout();
    return call;
  }
};
function lost() {
  return new RosterdError(Code.timeout, "CONNECTION_LOST", "the connection was lost before the answer; it may have been carried out");
}
function superseded() {
  return new RosterdError(Code.mismatch, "SUPERSEDED", "another device has changed the same record since; what is held now is in force");
}

// src/connection.ts
var LOGIN_MS = 12e3;
var GOODBYE_MS = 2e3;
var Connection = class {
  #socket;
  #handlers;
  #over = false;
  #goodbye;
  // Cancels the timer that ends a silence of #patience.
  #silence = () => {
  };
  #patience = LOGIN_MS;
  #paused = false;
  // Frames that arrived while paused, if the socket cannot pause.
  #held = [];
  /** Opens the WebSocket; throws if the address is invalid. */
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
  /** Expects a frame every `heartbeatMs` from now on. */
  loggedIn(heartbeatMs) {
    if (heartbeatMs > 0) this.#patience = heartbeatMs * 2.5;
    this.#listen();
  }
  /** Expects any frame within `ms`, once. */
  expectWithin(ms) {
    this.#listen(ms);
  }
  /** Sends a frame; false if that is impossible now. True does not mean that it arrives. */
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
  /** Closes without calling the handlers. */
  close() {
    this.#release();
    this.#quietly(() => this.#socket.close(1e3));
  }
  /** Ends like a network failure. */
  drop(reason) {
    const { terminate } = this.#socket;
    if (this.#over) return;
    this.#quietly(() => terminate ? terminate.call(this.#socket) : this.#socket.close());
    this.#end({ code: 1006, reason });
  }
  /** Stops reading, or holds frames back and still answers heartbeats. */
  pause() {
    if (this.#over || this.#paused) return;
    this.#paused = true;
    this.#silence();
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
      freeze(frame);
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
    this.#silence();
    if (this.#over || this.#paused) return;
    this.#silence = after(patience, () => this.drop("nothing was heard for too long"));
  }
  #end(end) {
    if (this.#over) return;
    this.#release();
    const goodbye = this.#goodbye;
    this.#handlers.ended(goodbye ? { code: goodbye.code, reason: goodbye.reason, goodbye } : end);
  }
  #release() {
    this.#over = true;
    this.#silence();
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
function freeze(value) {
  if (typeof value !== "object" || value === null) return;
  for (const part of Object.values(value)) freeze(part);
  if (!Array.isArray(value)) Object.freeze(value);
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
function over(before, changes) {
  return { ...before, ...changes, ...changes.fields && { fields: { ...before?.fields, ...changes.fields } } };
}
function mergeBy(by, old, news) {
  const map = /* @__PURE__ */ new Map();
  for (const record of [...list(old), ...list(news)]) map.set(record[by], merge(map.get(record[by]), record));
  return [...map.values()];
}
function cutBy(by, old, gone) {
  const keys = new Set(list(gone).map((entry) => typeof entry === "string" ? entry : entry[by]));
  return list(old).filter((record) => !keys.has(record[by]));
}
function mergeByAccount(old, news) {
  return mergeBy("account", old, news);
}
function cutByAccount(old, gone) {
  return cutBy("account", old, gone);
}

// src/edits.ts
var Edits = class {
  /** `shown`: the own profile shows otherwise; listeners hear of it if it is clear `how`. `save`: these changes wait, or wait no more. */
  constructor(replica, call, shown, save) {
    this.replica = replica;
    this.call = call;
    this.shown = shown;
    this.save = save;
  }
  #list = [];
  #lastId = 0;
  update(fields, options) {
    const { ifVersion, optimistic, keep } = options;
    this.#lastId = Math.max(Date.now() + Math.random(), this.#lastId + 1e-3);
    const edit = { id: this.#lastId, fields: merge(fields), version: ifVersion ?? this.replica.confirmed?.version, keep };
    if (optimistic || keep) this.#set([...this.#list, edit], "pending");
    return this.#send(edit, ifVersion, options);
  }
  /** Takes what the store has kept, which is older than what it has not. */
  restore(kept = []) {
    const older = kept.filter(({ id }) => !this.#list.some((edit) => edit.id === id));
    this.#set([...older.map((edit) => ({ ...edit, keep: true })), ...this.#list]);
  }
  /** After a catch-up, sends what no call carries; only now it is known what a change rests on that was made before all else. */
  resume(failed) {
    for (const edit of this.#list) {
      edit.version ??= this.replica.confirmed?.version;
      if (!edit.running) this.#send(edit).catch(failed);
    }
    this.#save([]);
  }
  clear() {
    this.#set([]);
  }
  async #send(edit, ifVersion, limits) {
    const { fields, keep } = edit;
    const me = () => this.replica.confirmed;
    edit.running = true;
    try {
      return await this.call({ updateMyInfo: { ...fields, ifVersion } }, {
        repeatable: false,
        limits,
        setting: keep || ifVersion === void 0 ? {
          key: "me",
          version: () => me()?.version,
          shown: () => JSON.stringify(over(me(), fields), (_, value) => value ?? void 0) === JSON.stringify(me()),
          reply: () => ({ updateMyInfoReply: { user: me() } })
        } : void 0,
        ...keep ? { kept: edit, timeoutMs: Infinity } : {},
        ended: (failed) => this.#list.includes(edit) && this.#set(this.#list.filter((other) => other !== edit), failed ? "rollback" : void 0)
      });
    } finally {
      edit.running = false;
    }
  }
  #set(list2, how) {
    if (!list2.length && !this.#list.length) return;
    const gone = this.#list.filter((edit) => !list2.includes(edit));
    this.#list = list2;
    this.replica.pend(list2.length ? Object.freeze(list2.reduce((all, { fields }) => over(all, fields), {})) : void 0);
    this.shown(how);
    this.#save(gone.map(({ id, keep }) => ({ id, keep })));
  }
  #save(gone) {
    const kept = [...gone, ...this.#list].flatMap(({ id, fields, version, keep }) => keep ? { id, fields, version } : []);
    if (kept.length) this.save(kept);
  }
};

// src/options.ts
function checkOptions(options) {
  const { account, token, requestTimeoutMs, backoff, device = {} } = options ?? {};
  if (typeof account !== "string" || account === "") throw new TypeError("options.account is missing");
  if (token !== void 0 && (typeof token !== "string" || token === "")) throw new TypeError("options.token must be a text that is not empty");
  for (const [name, ms] of Object.entries({ requestTimeoutMs, "backoff.minMs": backoff?.minMs, "backoff.maxMs": backoff?.maxMs })) {
    if (ms !== void 0 && !(ms >= 0)) throw new TypeError(`options.${name} must be a number of milliseconds, or Infinity`);
  }
  for (const name of ["id", "type", "tag"]) {
    const text = device[name];
    if (text === void 0) continue;
    if (typeof text !== "string" || [...text].length > DEVICE_MAX) throw new TypeError(`options.device.${name} must be a text of at most ${DEVICE_MAX} characters`);
  }
}
var DEVICE_MAX = 64;
function webSocket(options) {
  const found = options.WebSocket ?? globalThis.WebSocket;
  if (!found) throw new TypeError('there is no WebSocket: give one as options.WebSocket, such as that of "ws"');
  return found;
}
function gatewayOf(address2) {
  const from = /^http(s?):\/\/([^?#]+)\/sdk\/(?:rosterd|nim|core)[\w.-]*\.js(?:[?#]|$)/.exec(address2 ?? "");
  return from ? `ws${from[1]}://${from[2]}/v1/ws` : void 0;
}
function address({ url }) {
  const found = url ?? gatewayOf(import.meta.url);
  if (found) return found;
  throw new TypeError('options.url is missing: no gateway served this script, so give the address of one, such as "wss://rosterd.example.com/v1/ws"');
}

// src/store.ts
var requestKey = ({ account, direction }) => `${direction} ${account}`;
var storeKey = (account, url) => `${account} ${url}`;
var Gathered = class {
  constructor(clear = false, kept = /* @__PURE__ */ new Map()) {
    this.clear = clear;
    this.kept = kept;
    this.removed = /* @__PURE__ */ new Set();
    this.users = /* @__PURE__ */ new Map();
    this.friends = /* @__PURE__ */ new Map();
    this.requests = /* @__PURE__ */ new Map();
    this.blocks = /* @__PURE__ */ new Map();
  }
  add(change) {
    for (const account of change.removed ?? []) {
      this.removed.add(account);
      this.users.delete(account);
      this.friends.delete(account);
    }
    if (change.me) this.me = change.me;
    for (const user of change.users ?? []) this.users.set(user.account, user);
    for (const friend of change.friends ?? []) this.friends.set(friend.account, friend);
    for (const request of change.requests ?? []) this.requests.set(requestKey(request), request);
    for (const block of change.blocks ?? []) this.blocks.set(block.account, block);
    if (change.cursor !== void 0) this.cursor = change.cursor;
    for (const edit of change.kept ?? []) this.kept.set(edit.id, edit);
  }
  get change() {
    const { clear, removed, requests, blocks, cursor, kept } = this;
    return { ...this.stored, clear, removed: [...removed], requests: [...requests.values()], blocks: [...blocks.values()], cursor, kept: [...kept.values()] };
  }
  /** The records that a store has after these changes, if it had none before. */
  get stored() {
    const { me, users, friends, requests, blocks, cursor, kept } = this;
    return {
      me,
      users: [...users.values()],
      friends: [...friends.values()],
      requests: [...requests.values()].filter(({ state }) => state === "open"),
      blocks: [...blocks.values()].filter(({ removed }) => !removed),
      cursor: cursor ?? void 0,
      kept: [...kept.values()].filter(({ fields }) => fields)
    };
  }
};
var MemoryStore = class {
  #accounts = /* @__PURE__ */ new Map();
  async load(key) {
    return this.#accounts.get(key)?.stored;
  }
  async save(key, change) {
    let held = this.#accounts.get(key);
    if (!held || change.clear) this.#accounts.set(key, held = new Gathered(false, held?.kept));
    held.add(change);
  }
  async wipe(key) {
    this.#accounts.delete(key);
  }
};
var SCHEMA = 3;
var TABLES = ["changes", "meta"];
var PIECE = 250;
var TEXTS_MAX = 256;
var SLICE_MS = 10;
var OPEN_MS = 3e3;
var IndexedDbStore = class {
  // Opened at first use.
  #databases = /* @__PURE__ */ new Map();
  // Tell the other pages of this origin about a wipe.
  #channels = /* @__PURE__ */ new Map();
  async load(key) {
    const database = await this.#open(key);
    const transaction = database.transaction(TABLES, "readonly");
    const all = (name) => result(transaction.objectStore(name).getAll());
    const [texts, kept] = await Promise.all([all("changes"), all("meta")]);
    const gathered = new Gathered();
    let since = Date.now();
    for (const text of texts) {
      const change = JSON.parse(text);
      Object.values(change).flat().forEach(Object.freeze);
      gathered.add(change);
      if (Date.now() - since < SLICE_MS) continue;
      await pause();
      since = Date.now();
    }
    return { ...gathered.stored, kept };
  }
  async save(key, { clear, kept = [], ...change }) {
    const database = await this.#open(key);
    const transaction = database.transaction(TABLES, "readwrite");
    const changes = transaction.objectStore("changes");
    const meta = transaction.objectStore("meta");
    const done = completion(transaction);
    const after2 = (request, next) => {
      request.onsuccess = () => abortOnThrow(transaction, () => next(request.result));
    };
    const write = ({ users = [], friends = [], ...rest }, next) => {
      const text = JSON.stringify({ ...rest, users: users.slice(0, PIECE), friends: friends.slice(0, PIECE) });
      after2(changes.put(text), () => users[PIECE] || friends[PIECE] ? write({ users: users.slice(PIECE), friends: friends.slice(PIECE) }, next) : next());
    };
    const fold = () => {
      const all = new Gathered();
      after2(changes.openCursor(), (cursor) => {
        if (cursor) {
          all.add(JSON.parse(cursor.value));
          return cursor.continue();
        }
        changes.clear();
        write(all.stored, () => {
        });
      });
    };
    abortOnThrow(transaction, () => {
      if (clear) changes.clear();
      for (const edit of kept) edit.fields ? meta.put(edit, edit.id) : meta.delete(edit.id);
      write(change, () => after2(changes.count(), (count) => count > TEXTS_MAX && fold()));
    });
    await done;
  }
  async wipe(key) {
    this.#channel(key)?.postMessage("wipe");
    try {
      const database = await this.#open(key);
      const transaction = database.transaction(TABLES, "readwrite");
      const done = completion(transaction);
      for (const name of TABLES) transaction.objectStore(name).clear();
      await done;
    } finally {
      this.#forget(key);
    }
    await remove(key);
  }
  onWipe(key, listener) {
    const channel = this.#channel(key);
    channel?.addEventListener("message", () => {
      this.#forget(key);
      listener();
    });
    unref(channel);
  }
  close() {
    for (const key of [...this.#databases.keys()]) this.#forget(key);
    for (const channel of this.#channels.values()) channel.close();
    this.#channels.clear();
  }
  #open(key) {
    let opening = this.#databases.get(key);
    if (!opening) {
      this.#databases.set(key, opening = open(key));
      opening.catch(() => this.#databases.delete(key));
    }
    return opening;
  }
  #forget(key) {
    this.#databases.get(key)?.then((database) => database.close(), () => {
    });
    this.#databases.delete(key);
  }
  #channel(key) {
    if (typeof BroadcastChannel !== "function") return void 0;
    let channel = this.#channels.get(key);
    if (!channel) {
      this.#channels.set(key, channel = new BroadcastChannel(nameOf(key)));
      unref(channel);
    }
    return channel;
  }
};
function open(key, again = true) {
  return within(OPEN_MS, "indexedDB.open", () => new Promise((resolve, reject) => {
    const request = indexedDB.open(nameOf(key), SCHEMA);
    request.onupgradeneeded = () => {
      const database = request.result;
      for (const name of [...database.objectStoreNames]) if (name !== "meta") database.deleteObjectStore(name);
      database.createObjectStore("changes", { autoIncrement: true });
      if (database.objectStoreNames.contains("meta")) request.transaction?.objectStore("meta").delete(IDBKeyRange.lowerBound(""));
      else database.createObjectStore("meta");
    };
    request.onsuccess = () => {
      const database = request.result;
      database.onversionchange = () => database.close();
      resolve(database);
    };
    request.onerror = () => {
      if (again && request.error?.name === "VersionError") resolve(remove(key).then(() => open(key, false)));
      else reject(request.error);
    };
  }));
}
function remove(key) {
  return new Promise((resolve, reject) => {
    const request = indexedDB.deleteDatabase(nameOf(key));
    request.onsuccess = request.onblocked = () => resolve();
    request.onerror = () => reject(request.error);
  });
}
var nameOf = (key) => `rosterd:${key}`;
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
function storeFor(option = "auto") {
  if (typeof option === "object") return option;
  try {
    if (option === "auto" && globalThis.indexedDB) return new IndexedDbStore();
  } catch {
  }
  return new MemoryStore();
}
function isSound(stored) {
  const record = (value) => {
    const { account, version } = value ?? {};
    return typeof account === "string" && Number.isSafeInteger(version);
  };
  const { me, users, friends, requests, blocks, cursor, kept = [] } = stored;
  return (me === void 0 || record(me)) && [users, friends, requests, blocks].every((list2) => Array.isArray(list2) && list2.every(record)) && (cursor === void 0 || typeof cursor === "string") && Array.isArray(kept);
}

// src/saver.ts
var ANSWER_MS = 1e4;
var WRITE_MS = 3e4;
var IDLE_MS = 5e3;
var WIPE_WAITS_MS = [0, 200, 1e3];
var Saver = class {
  #store;
  #key;
  #failed;
  // A store that failed is not written any more. Its contents are consistent and have a cursor, so the next start can use them.
  #broken = false;
  #next;
  #writing;
  constructor(store, key, failed) {
    this.#store = store;
    this.#key = key;
    this.#failed = failed;
  }
  /** Reads the records; wipes damaged ones. */
  async load() {
    if (this.#broken) return void 0;
    try {
      const stored = await within(ANSWER_MS, "load", () => this.#store.load(this.#key));
      if (stored === void 0 || isSound(stored)) return stored;
      throw new TypeError("the records are damaged");
    } catch (cause) {
      this.#failed("reading", cause);
      await this.#try("wiping", () => this.#wipe());
      return void 0;
    }
  }
  save(change) {
    if (this.#broken) return;
    if (change.clear) this.#next = new Gathered(true, this.#next?.kept);
    (this.#next ??= new Gathered()).add(change);
    this.#writing ??= this.#write();
  }
  /** Waits until all is written or the store has failed, but not for ever. */
  async idle() {
    const all = async () => {
      while (this.#writing) await this.#writing;
    };
    await within(IDLE_MS, "save", all).catch(() => {
    });
  }
  /** Deletes all records, those of a store that failed as well. Rejects if they are still there. */
  async wipe() {
    this.drop();
    await this.idle();
    for (const [attempt, ms] of WIPE_WAITS_MS.entries()) {
      try {
        if (ms) await new Promise((resolve) => setTimeout(resolve, ms));
        return await this.#wipe();
      } catch (cause) {
        if (attempt === WIPE_WAITS_MS.length - 1) throw cause;
      }
    }
  }
  /** Drops what is not written yet. */
  drop() {
    this.#next = void 0;
  }
  /** Calls `listener` when another page wipes the records. */
  onWipe(listener) {
    this.#store.onWipe?.(this.#key, listener);
  }
  close() {
    this.#store.close?.();
  }
  async #wipe() {
    await within(ANSWER_MS, "wipe", () => this.#store.wipe(this.#key));
    this.#broken = false;
  }
  async #write() {
    await void 0;
    for (let next = this.#next; next; next = this.#next) {
      this.#next = void 0;
      const { change } = next;
      await this.#try("writing", () => within(WRITE_MS, "save", () => this.#store.save(this.#key, change)));
    }
    this.#writing = void 0;
  }
  async #try(what, action) {
    try {
      if (!this.#broken) await action();
    } catch (cause) {
      this.#broken = true;
      this.#failed(what, cause);
    }
  }
};

// src/snapshot.ts
var Snapshots = class {
  #replica;
  #last;
  constructor(replica) {
    this.#replica = replica;
  }
  take(account, connection) {
    const last = this.#last;
    const changed = this.#replica.changed();
    if (last && !changed.size && last.connection === connection) return last;
    const { me, pending, users, friends, requests, blocks, presence, sessions, watched } = this.#replica;
    const part = (name, held, copy, equal) => {
      const before = last?.[name];
      if (before === void 0) return copy(held);
      return !changed.has(name) || equal(before, held) ? before : copy(held);
    };
    const map = (name, held) => part(name, held, (held2) => new Map(held2), sameMap);
    const next = {
      account,
      connection,
      me,
      pending,
      users: map("users", users),
      friends: map("friends", friends),
      blocks: map("blocks", blocks),
      presence: map("presence", presence),
      requests: part("requests", requests, (held) => Object.freeze([...held]), sameList),
      sessions: part("sessions", sessions, (held) => Object.freeze([...held]), sameList),
      watched: part("watched", watched, (held) => new Set(held), (a, b) => sameList([...a], [...b]))
    };
    const names = Object.keys(next);
    if (last && names.every((name) => last[name] === next[name])) return last;
    return this.#last = Object.freeze(next);
  }
};
function sameMap(a, b) {
  if (a.size !== b.size) return false;
  const others = b.entries();
  for (const [key, record] of a) {
    const [otherKey, other] = others.next().value;
    if (key !== otherKey || record !== other) return false;
  }
  return true;
}
function sameList(a, b) {
  return a.length === b.length && a.every((record, i) => record === b[i]);
}

// src/tokens.ts
var TOKEN_MS = 15e3;
var REFRESH_LEAD_MS = 6e4;
var REFRESH_PAUSE_MS = 1e3;
var Tokens = class {
  #options;
  #handlers;
  #token;
  // The gateway ended a connection because of the token; no login has succeeded since.
  #ended = false;
  #expiresAt;
  // The gateway's clock minus the local one.
  #skew = 0;
  #cancel = () => {
  };
  // Counts connections, to ignore a renewal that began on an earlier one.
  #run = 0;
  constructor(options, handlers) {
    this.#options = options;
    this.#handlers = handlers;
    this.#token = options.token;
  }
  async take() {
    if (await this.#handlers.needless()) return "";
    const { account } = this.#options;
    if (!this.#options.getToken) return this.#token ?? account;
    const ended = this.#expiresAt !== void 0 && Date.now() + this.#skew >= this.#expiresAt;
    if (this.#token === void 0 || ended) {
      this.#token = await this.#ask(this.#ended || ended ? "expired" : "connect");
      this.#expiresAt = void 0;
    }
    return this.#token;
  }
  restart() {
    this.#ended = false;
  }
  loggedIn({ serverTime, expiresAt }) {
    this.#ended = false;
    this.#skew = serverTime - Date.now();
    this.#expires(expiresAt);
  }
  stop() {
    this.#run++;
    this.#cancel();
  }
  /** Drops an expired token; returns whether it is the first since a login. */
  expired() {
    const first = !this.#ended;
    this.#token = void 0;
    this.#ended = true;
    return first;
  }
  reset(token) {
    this.#token = token;
  }
  #expires(at) {
    this.#expiresAt = at;
    this.#cancel();
    if (at === void 0 || !this.#options.getToken) return;
    const left = at - Date.now() - this.#skew;
    const wait = Math.max(REFRESH_PAUSE_MS, left - Math.min(REFRESH_LEAD_MS, left / 5));
    if (left > 0) this.#cancel = after(wait, () => void this.#renew(at));
  }
  async #renew(endsAt) {
    const run = this.#run;
    try {
      const token = await this.#ask("refresh");
      if (run !== this.#run) return;
      const { refreshReply } = await this.#handlers.refresh(token);
      this.#token = token;
      if (run === this.#run) this.#expires(refreshReply?.expiresAt);
    } catch (cause) {
      if (run !== this.#run) return;
      this.#handlers.failed(cause);
      this.#expires(endsAt);
    }
  }
  /** Calls `getToken`. An answer that cannot be a token is a failure: the gateway would refuse the login for good. */
  async #ask(why) {
    const token = await within(TOKEN_MS, "getToken", () => this.#options.getToken?.(why));
    if (typeof token === "string" && token !== "") return token;
    throw new TypeError(`getToken returned ${token === "" ? "an empty text" : `no text but ${token === null ? "null" : typeof token}`}`);
  }
};

// src/lifecycle.ts
var LOGOUT_MS = 2e3;
var REFUSED_MS = 2e3;
var STUCK_MS = 1e3;
var PROBE_MS = 5e3;
var OFFLINE_PROBE_MS = 2e3;
var UNANSWERED_MS = 3e3;
var REMEDY = {
  repair: "asking for what differs",
  retry: "that did not help, getting all of it anew",
  accepted: "it was got anew already"
};
var Lifecycle = class {
  constructor(options, emitter, replica) {
    this.state = "disconnected";
    this.connectionState = Object.freeze({ state: "disconnected" });
    this.#calls = new Calls();
    // The application wants a connection: from connect() to disconnect(), logout() or a final end.
    this.#wanted = false;
    // Counts attempts, to ignore what an earlier one awaited.
    this.#run = 0;
    this.#cacheRead = false;
    this.#loginId = 0;
    // The id of the `watch` that followed the last login.
    this.#watchId = 0;
    this.#repairId = 0;
    // Attempts since the last `synced`.
    this.#attempt = 0;
    // A logout is under way.
    this.#leaving = false;
    this.#resync = false;
    // While this is not 0, a frame or an end is being handled, and `change` follows it.
    this.#depth = 0;
    // The network or the user is back: retry at once, unless the gateway chose the time, for all clients.
    // A connection that looks open may have died silently; any answer proves that it is alive.
    this.#wake = () => {
      if (globalThis.document?.visibilityState === "hidden") return;
      if (this.#stuck || this.#retry && !this.#retry.byGateway) return void this.#begin();
      this.#probe(PROBE_MS);
    };
    this.#offline = () => this.#probe(OFFLINE_PROBE_MS);
    this.options = options;
    this.url = address(options);
    this.#emitter = emitter;
    this.#replica = replica;
    this.#snapshots = new Snapshots(replica);
    const [store, key] = [storeFor(options.store), storeKey(options.account, this.url)];
    this.#shared = options.tabs?.(this, store, key);
    const failed = (what, cause) => this.#error(Code.internal, "STORE", `${what} the local store failed`, cause);
    this.#saver = new Saver(this.#shared?.store ?? store, key, failed);
    this.#saver.onWipe(() => this.#wipedElsewhere());
    this.edits = new Edits(
      replica,
      (command, options2) => this.call(command, options2),
      (how) => this.#batch(() => how && replica.me && emitter.emit("me", replica.me, how)),
      (kept) => this.#saver.save({ kept })
    );
    this.#tokens = new Tokens(options, {
      needless: () => this.#shared?.follows(),
      refresh: (token) => this.call({ refresh: { token } }, { repeatable: false }),
      failed: (cause) => {
        if (UnauthorizedError.is(cause)) return this.#unauthorized(cause);
        this.#error(Code.unauthenticated, "REFRESH_FAILED", "the token could not be renewed; the old one is used until it ends", cause);
      }
    });
  }
  #emitter;
  #replica;
  #calls;
  #saver;
  #tokens;
  #shared;
  #wanted;
  #run;
  #cacheRead;
  // When the current attempt began to wait for the store or for `getToken`.
  #waitsSince;
  #loginId;
  #watchId;
  #repairId;
  #loginError;
  #login;
  // Settled by the first `synced`, or by a final end.
  #connected;
  #attempt;
  #retry;
  #leaving;
  #resync;
  // Why the connection is not live.
  #lastError;
  #snapshots;
  // The snapshot that the last `change` brought.
  #shown;
  #depth;
  get snapshot() {
    return this.#snapshots.take(this.options.account, this.connectionState);
  }
  /** Takes the list that the gateway has accepted. */
  watched(accounts, missing) {
    this.#batch(() => this.#replica.watch(accounts, missing));
  }
  connect() {
    if (this.state === "live") return Promise.resolve();
    const connected = this.#connected ??= deferred();
    if (!this.#wanted) {
      this.#wanted = true;
      this.#attempt = 0;
      this.#tokens.restart();
      this.#watchPage(true);
      void this.#begin();
    } else if (this.#retry || this.#stuck) {
      void this.#begin();
    }
    return connected.promise;
  }
  async disconnect() {
    this.#stop();
    await this.#saver.idle();
  }
  async logout(forget) {
    if (this.#login && !this.#leaving) {
      this.#leaving = true;
      try {
        await this.call({ logout: {} }, { repeatable: false, timeoutMs: LOGOUT_MS });
      } catch {
      }
      this.#leaving = false;
    }
    this.#stop();
    if (!forget) return this.#saver.idle();
    this.#forget();
    try {
      await this.#saver.wipe();
    } catch (cause) {
      const message = "the records of this account are still in the local store; call logout again";
      throw new RosterdError(Code.internal, "STORE", message, { cause });
    }
  }
  #forget() {
    this.edits.clear();
    this.#batch(() => this.#replica.clear());
    this.#tokens.reset(this.options.token);
    this.#saver.drop();
    this.#cacheRead = false;
  }
  /** Follows another page that logged the account out and wiped its records. */
  #wipedElsewhere() {
    this.#stop("FORGOTTEN");
    this.#forget();
  }
  call(command, { timeoutMs, ...options }) {
    const reply = this.#calls.add(command, timeoutMs ?? this.options.requestTimeoutMs ?? 8e3, options);
    const cancel = after(UNANSWERED_MS, () => this.#probe(PROBE_MS));
    reply.then(cancel, cancel);
    const connection = this.connection;
    if (connection && this.state === "live") this.#reconsider(connection);
    else if (connection && this.#login) this.#calls.flush((frame) => connection.send(frame));
    return reply;
  }
  async #begin() {
    const run = ++this.#run;
    this.#retry?.cancel();
    this.#retry = void 0;
    this.#setState("connecting");
    this.#waitsSince = Date.now();
    if (!this.#cacheRead) await this.#readCache(run);
    if (run !== this.#run) return;
    let token;
    try {
      token = await this.#tokens.take();
    } catch (cause) {
      if (run !== this.#run) return;
      this.#waitsSince = void 0;
      if (UnauthorizedError.is(cause)) return this.#unauthorized(cause);
      this.#error(Code.unauthenticated, "NO_TOKEN", "getToken failed", cause);
      return this.#batch(() => this.#ended({ code: 1006, reason: "getToken failed" }, new RosterdError(Code.unauthenticated, "NO_TOKEN", "getToken failed", { cause })));
    }
    if (run !== this.#run) return;
    this.#waitsSince = void 0;
    this.#loginError = void 0;
    this.#resync = false;
    try {
      const connection = new Connection(this.url, this.#shared?.WebSocket ?? webSocket(this.options), {
        opened: () => {
          this.#loginId = this.#calls.nextId();
          const { device } = this.options;
          connection.send({ id: this.#loginId, login: { token, cursor: this.#replica.cursor, device } });
        },
        frame: (frame) => this.#batch(() => this.#frame(frame, connection)),
        ended: (end) => this.#batch(() => this.#ended(end)),
        trace: (direction, frame) => this.#trace(direction, frame)
      });
      this.connection = connection;
    } catch (cause) {
      this.#giveUp({ code: 1006, reason: "NO_CONNECTION" }, new RosterdError(Code.internal, "NO_CONNECTION", String(cause?.message ?? cause), { cause }));
    }
  }
  async #readCache(run) {
    const stored = await this.#saver.load();
    if (run !== this.#run) return;
    this.#cacheRead = true;
    this.#batch(() => {
      if (stored) this.#replica.load(stored);
      this.edits.restore(stored?.kept);
      if (!stored) return;
      announceStored(this.#emitter, this.#replica.stored);
    });
  }
  #frame(frame, connection) {
    if (frame.id === this.#loginId && frame.error) {
      this.#loginError = RosterdError.from(frame.error);
      connection.expectWithin(this.#loginError.code === Code.invalid ? 0 : REFUSED_MS);
      return;
    }
    if (frame.id === this.#repairId && frame.error) return this.#startOver(connection);
    if (frame.loginReply) {
      const { account } = frame.loginReply;
      if (account !== this.options.account) {
        const error = new RosterdError(Code.denied, "OTHER_ACCOUNT", `the token is ${account}'s, not ${this.options.account}'s`);
        connection.close();
        return this.#giveUp({ code: 1e3, reason: "OTHER_ACCOUNT" }, error);
      }
      this.#login = frame.loginReply;
      this.schema = frame.loginReply.schema;
      connection.loggedIn(frame.loginReply.heartbeatMs);
    }
    let difference;
    try {
      difference = this.#replica.take(frame);
    } catch (cause) {
      this.#error(Code.internal, "BAD_FRAME", "a frame could not be applied", cause);
      return connection.drop("a frame could not be applied");
    }
    if (difference?.save) this.#saver.save(difference.save);
    if (frame.loginReply) this.#loggedIn(frame.loginReply, connection);
    if (difference?.how === "sync") this.#synced(difference, frame, connection);
    else if (difference) announceUpdate(this.#emitter, difference);
    this.#calls.applied(!!frame.changes?.cursor && !this.#replica.staging);
    if (frame.signal) this.#emitter.emit("signal", frame.signal);
    if (frame.id === this.#watchId && frame.watchReply) this.#replica.watch(this.#replica.watched, frame.watchReply.missing);
    if (!this.#calls.settle(frame) && frame.error) this.#emitter.emit("error", RosterdError.from(frame.error));
    if (this.state === "live" && this.connection === connection && this.#calls.waiting) this.#reconsider(connection);
  }
  #loggedIn(login, connection) {
    this.#tokens.loggedIn(login);
    this.#setState("syncing");
    const { watched } = this.#replica;
    if (watched.size) {
      this.#watchId = this.#calls.nextId();
      connection.send({ id: this.#watchId, watch: { accounts: [...watched] } });
    }
    this.#calls.flush((frame) => connection.send(frame));
  }
  #synced(difference, frame, connection) {
    const { count = 0, digest: digest2 = 0 } = frame.synced ?? {};
    const { mismatch } = difference;
    if (mismatch) this.#error(Code.internal, "OUT_OF_STEP", `what is held is not what the gateway holds; ${REMEDY[mismatch]}`);
    if (mismatch === "repair" && this.connection === connection) {
      if (difference.sessions) this.#emitter.emit("sessions", difference.sessions);
      this.#repairId = this.#calls.nextId();
      connection.send({ id: this.#repairId, repair: { leaves: this.#replica.digests } });
    }
    if (mismatch === "retry") this.#startOver(connection);
    if (mismatch === "repair" || mismatch === "retry") return;
    this.edits.resume((error) => this.#emitter.emit("error", error));
    this.#calls.caughtUp();
    const { sync = "full", because } = this.#login ?? {};
    announceSync(this.#emitter, difference);
    if (this.connection !== connection) return;
    this.#attempt = 0;
    this.#setState("live");
    this.#emitter.emit("synced", { sync, ...because === void 0 ? {} : { because }, count, digest: digest2 });
    this.#connected?.resolve();
    this.#connected = void 0;
    if (this.connection === connection) this.#reconsider(connection);
  }
  #reconsider(connection) {
    this.#calls.reconsider((frame) => connection.send(frame));
  }
  /** Reconnects at once and fetches everything. */
  #startOver(connection) {
    this.#resync = true;
    connection.drop("out of step");
  }
  #ended(end, cause) {
    this.#detach();
    this.#calls.interrupted();
    if (this.#leaving) return;
    const { code, reason, goodbye } = end;
    const { getToken, reconnect = true } = this.options;
    const renew = code === Close.tokenExpired && getToken !== void 0;
    const refused = this.#loginError && this.#loginError.code < 500 && !renew;
    if (!this.#resync && (!reconnect || refused || !(renew || comesBack(code)))) {
      const error = this.#loginError ?? closeError(end);
      if (getToken && error.code === Code.unauthenticated) this.#tokens.reset();
      return this.#giveUp(end, error);
    }
    const atOnce = renew && this.#tokens.expired() || this.#resync;
    const requested = goodbye?.retryAfterMs ?? this.#loginError?.retryAfterMs;
    const { minMs = 500, maxMs = 2e4 } = this.options.backoff ?? {};
    const jittered = Math.random() * Math.min(maxMs, minMs * 2 ** Math.min(this.#attempt, 30));
    const delayMs = Math.round(atOnce ? 0 : requested ?? jittered);
    const attempt = ++this.#attempt;
    this.#retry = { cancel: after(delayMs, () => void this.#begin()), byGateway: requested !== void 0 };
    const run = this.#run;
    this.#lastError = cause ?? this.#loginError ?? closeError(end);
    this.#setState("disconnected", Date.now() + delayMs);
    this.#emitter.emit("disconnected", { code, reason, willReconnect: true });
    if (run === this.#run) this.#emitter.emit("willReconnect", { attempt, delayMs });
  }
  /** The attempt waits for the application's code, and may do so for long. */
  get #stuck() {
    return this.#waitsSince !== void 0 && Date.now() - this.#waitsSince >= STUCK_MS;
  }
  /** Ends for good because the application says that it has no token. */
  #unauthorized(cause) {
    const error = cause instanceof UnauthorizedError ? cause : new UnauthorizedError(cause.message, { cause });
    this.connection?.close();
    this.#tokens.reset();
    this.#giveUp({ code: 1e3, reason: "UNAUTHORIZED" }, error);
  }
  #giveUp({ code, reason }, error) {
    this.#batch(() => {
      this.#halt(error);
      this.#lastError = error;
      this.#setState("disconnected");
      this.#emitter.emit("disconnected", { code, reason, willReconnect: false, error });
      this.#emitter.emit("error", error);
    });
  }
  #stop(reason = "CLIENT") {
    const open2 = this.#wanted || this.state !== "disconnected";
    this.connection?.close();
    this.#batch(() => {
      this.#halt(new RosterdError(Code.timeout, "DISCONNECTED", "the client was disconnected"));
      this.#lastError = void 0;
      this.#setState("disconnected");
      if (open2) this.#emitter.emit("disconnected", { code: 1e3, reason, willReconnect: false });
    });
  }
  #halt(error) {
    this.#wanted = false;
    this.#waitsSince = void 0;
    this.#run++;
    this.#retry?.cancel();
    this.#retry = void 0;
    this.#watchPage(false);
    this.#detach();
    this.#shared?.leave();
    this.#calls.fail(error);
    this.#connected?.reject(error);
    this.#connected = void 0;
  }
  #detach() {
    this.connection = void 0;
    this.#login = void 0;
    this.#tokens.stop();
    this.#replica.interrupted();
  }
  #wake;
  #offline;
  /** Asks for something small. A connection over which nothing comes within `ms` is dead. */
  #probe(ms) {
    const { connection } = this;
    if (!connection || !this.#login) return;
    connection.expectWithin(ms);
    this.#calls.add({ getUsers: { accounts: [this.options.account] } }, ms, { repeatable: false }).catch(() => {
    });
    this.#calls.flush((frame) => connection.send(frame));
  }
  #watchPage(on) {
    const method = on ? "addEventListener" : "removeEventListener";
    globalThis[method]?.("online", this.#wake);
    globalThis[method]?.("offline", this.#offline);
    globalThis.document?.[method]?.("visibilitychange", this.#wake);
  }
  #setState(state, retryAt) {
    const previous = this.state;
    if (state === "live") this.#lastError = void 0;
    this.state = state;
    this.connectionState = Object.freeze({
      state: retryAt === void 0 ? state : "reconnecting",
      ...this.#lastError ? { lastError: this.#lastError } : {},
      ...retryAt === void 0 ? {} : { retryAt }
    });
    this.#batch(() => state !== previous && this.#emitter.emit("state", state, previous));
  }
  /** Does something that may change what is held, and then emits `change` once, if something did. */
  #batch(work) {
    this.#depth++;
    try {
      work();
    } finally {
      this.#depth--;
    }
    if (this.#depth || !this.#emitter.has("change")) return;
    const { snapshot } = this;
    if (snapshot === this.#shown) return;
    this.#shown = snapshot;
    this.#emitter.emit("change", snapshot);
  }
  /** Ends the client and everything that it keeps open. */
  dispose() {
    const ended = this.disconnect().finally(() => this.#saver.close());
    this.#emitter.clear();
    return ended;
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

// src/digest.ts
function fmix32(h) {
  h = Math.imul(h ^ h >>> 16, 2246822507);
  h = Math.imul(h ^ h >>> 13, 3266489909);
  return h ^ h >>> 16;
}
function fnv1a(account) {
  let h = 2166136261;
  for (let i = 0; i < account.length; i++) h = Math.imul(h ^ account.charCodeAt(i), 16777619);
  return h;
}
var mix = (h, version) => fmix32(fmix32(h ^ version) ^ version / 2 ** 32);
function share(account, friendVersion, userVersion) {
  return mix(mix(fnv1a(account), friendVersion), userVersion) >>> 0;
}
function digest(friends, users) {
  let sum = 0;
  for (const [account, friend] of friends) {
    sum = sum + share(account, friend.version, users.get(account)?.version ?? 0) >>> 0;
  }
  return sum;
}
var BUCKETS = 64;
function bucket(account) {
  return (fnv1a(account) >>> 0) % BUCKETS;
}
function digests(friends, users) {
  const buckets = Array.from({ length: BUCKETS }, () => /* @__PURE__ */ new Map());
  for (const [account, friend] of friends) buckets[bucket(account)]?.set(account, friend);
  return buckets.map((friends2) => digest(friends2, users));
}

// src/replica.ts
var PARTS = ["me", "users", "friends", "requests", "blocks", "presence", "sessions", "watched"];
var nothing = () => ({ users: /* @__PURE__ */ new Map(), friends: /* @__PURE__ */ new Map(), requests: /* @__PURE__ */ new Map(), blocks: /* @__PURE__ */ new Map() });
var noNews = () => ({ users: [], friends: [], removed: [], requests: [], blocks: [] });
var isOpen = ({ state }) => state === "open";
function newer(record, held) {
  return !!record && record.version > (held?.version ?? 0);
}
var Replica = class {
  #held = nothing();
  // The parts that may have changed since the last call of changed().
  #touched = new Set(PARTS);
  // The result of a catch-up and its repair so far. It replaces #held when the digests agree.
  #staged;
  #full = false;
  // After a mismatch: a repair is `asked` for and `answered`; if it fails, one `refetch` of everything. If that fails,
  // the records are shown, but the cursor is `unsure` until a catch-up agrees again.
  #doubt = "none";
  #cursor;
  #pending;
  // The own profile with what is pending, and the one that it was made of.
  #shown;
  #shownOf;
  #presence = /* @__PURE__ */ new Map();
  #stagedPresence = /* @__PURE__ */ new Map();
  #sessions = [];
  // The versions of the ends of blocks, as far as this client has heard of them.
  #ended = /* @__PURE__ */ new Map();
  // Strangers whose profiles the gateway sends, on all connections.
  #watched = /* @__PURE__ */ new Set();
  /** The own profile as it is shown. */
  get me() {
    const { me } = this.#held;
    if (!me || !this.#pending) return me;
    if (this.#shownOf !== me) this.#shown = Object.freeze(over(this.#shownOf = me, this.#pending));
    return this.#shown;
  }
  /** The own profile as the gateway has sent it. */
  get confirmed() {
    return this.#held.me;
  }
  /** What is shown of the own profile and not answered. */
  get pending() {
    return this.#pending;
  }
  pend(pending) {
    this.#pending = pending;
    this.#shownOf = void 0;
    this.#touch("me");
  }
  get users() {
    return this.#held.users;
  }
  get friends() {
    return this.#held.friends;
  }
  get requests() {
    return [...this.#held.requests.values()].filter(isOpen);
  }
  get blocks() {
    return this.#held.blocks;
  }
  /** The version of a block or of the end of the last one; 0 if none is known. */
  blockVersion(account) {
    return this.#held.blocks.get(account)?.version ?? this.#ended.get(account) ?? 0;
  }
  get presence() {
    return this.#presence;
  }
  get sessions() {
    return this.#sessions;
  }
  get watched() {
    return this.#watched;
  }
  /** Returns the parts that may have changed since the last call. */
  changed() {
    const touched = this.#touched;
    if (touched.size) this.#touched = /* @__PURE__ */ new Set();
    return touched;
  }
  #touch(...parts) {
    for (const part of parts) this.#touched.add(part);
  }
  /** The cursor for the next login. */
  get cursor() {
    return this.#cursor;
  }
  load(stored) {
    const own = (record) => Object.isFrozen(record) ? record : Object.freeze({ ...record });
    const byAccount = (records) => new Map(records.map((record) => [record.account, own(record)]));
    this.#held = {
      me: stored.me && own(stored.me),
      users: byAccount(stored.users),
      friends: byAccount(stored.friends),
      requests: new Map(stored.requests.map((request) => [requestKey(request), own(request)])),
      blocks: byAccount(stored.blocks)
    };
    this.#cursor = stored.cursor;
    this.#touch(...PARTS);
  }
  /** What is shown, in the form of a store's records. */
  get stored() {
    const { me } = this;
    const { users, friends, blocks } = this.#held;
    return { me, users: [...users.values()], friends: [...friends.values()], requests: this.requests, blocks: [...blocks.values()] };
  }
  /** Drops all records, with the cursor that belongs to them. */
  clear() {
    this.#held = nothing();
    this.#staged = void 0;
    this.#cursor = void 0;
    this.#presence = /* @__PURE__ */ new Map();
    this.#sessions = [];
    this.#watched = /* @__PURE__ */ new Set();
    this.#touch(...PARTS);
  }
  /** Discards an unfinished catch-up or repair when the connection ends. */
  interrupted() {
    this.#staged = void 0;
    if (this.#repairing) this.#doubt = "refetch";
  }
  /** True during a catch-up or a repair. */
  get staging() {
    return this.#staged !== void 0;
  }
  /** The bucket digests of the friend list, for a repair. */
  get digests() {
    const { friends, users } = this.#staged ?? this.#held;
    return digests(friends, users);
  }
  get #repairing() {
    return this.#doubt === "asked" || this.#doubt === "answered";
  }
  /** Sets the accepted watch list, and forgets strangers that left it or are `missing`. */
  watch(accounts, missing = []) {
    const gone = [...this.#watched].filter((account) => !accounts.has(account));
    for (const { users, friends } of this.#everywhere) {
      for (const account of [...gone, ...missing]) if (!friends.has(account)) users.delete(account);
    }
    this.#watched = accounts;
    this.#touch("users", "watched");
  }
  /** Applies a frame. Returns nothing if nothing changed, as after an unknown frame. */
  take(frame) {
    if (frame.loginReply) return this.#begin(frame.loginReply.sync === "full");
    if (frame.changes) return this.#changes(frame.changes);
    if (frame.synced) return this.#synced(frame.synced);
    if (frame.presence) return this.#present(frame.presence.users ?? []);
    if (frame.sessions) {
      this.#touch("sessions");
      return { ...noNews(), how: "update", sessions: this.#sessions = [...frame.sessions.sessions ?? []] };
    }
    if (frame.repairReply) return this.#startRepair(new Set(frame.repairReply.parts));
    const { user: me } = frame.updateMyInfoReply ?? frame.setMutedReply ?? {};
    if (me) return this.#replied({ me });
    return frame.getUsersReply && this.#replied({ users: frame.getUsersReply.users ?? [] });
  }
  /** Applies a reply, which can come before a repair's. */
  #replied({ me, users = [] }) {
    const kept = (records) => ({ ...me ? { me } : {}, users: users.filter(({ account }) => records.users.has(account)) });
    if (this.#staged) apply(this.#staged, kept(this.#staged));
    return this.#live(kept(this.#held), "reply");
  }
  get #everywhere() {
    return this.#staged ? [this.#held, this.#staged] : [this.#held];
  }
  #begin(full) {
    const { me, users, friends, requests, blocks } = this.#held;
    this.#full = full;
    const known = /* @__PURE__ */ new Map();
    for (const [account, user] of users) if (friends.has(account) || this.#watched.has(account)) known.set(account, user);
    this.#staged = full ? nothing() : { me, users: known, friends: new Map(friends), requests: new Map(requests), blocks: new Map(blocks) };
    this.#stagedPresence = /* @__PURE__ */ new Map();
  }
  #changes(changes) {
    for (const { account, version, removed } of changes.blocks ?? []) if (removed) this.#ended.set(account, version);
    const presence = this.#staged ? this.#stagedPresence : this.#presence;
    for (const account of changes.removed ?? []) presence.delete(account);
    if (changes.removed?.length) this.#touch("presence");
    if (!this.#staged) return this.#live(changes, "update");
    apply(this.#staged, changes);
    return this.#doubt === "asked" ? this.#live(changes, "update") : void 0;
  }
  /** Drops the friends in these buckets from the copy: the gateway sends them again. */
  #startRepair(buckets) {
    if (!this.#staged || this.#doubt !== "asked") return;
    this.#doubt = "answered";
    const { users, friends } = this.#staged;
    for (const account of [...friends.keys()].filter((account2) => buckets.has(bucket(account2)))) {
      friends.delete(account);
      users.delete(account);
    }
  }
  #live(changes, how) {
    const news = apply(this.#held, changes);
    if (news.me) this.#touch("me");
    if (news.users.length || news.friends.length || news.removed.length) this.#touch("users", "friends");
    if (news.requests.length) this.#touch("requests");
    if (news.blocks.length) this.#touch("blocks");
    const save = this.#saved(news);
    if (typeof changes.cursor === "string" && this.#doubt === "none") save.cursor = this.#cursor = changes.cursor;
    const { me, ...lists } = news;
    const isNews = me || save.cursor !== void 0 || Object.values(lists).some((list2) => list2.length);
    return isNews ? { ...news, ...me ? { me: this.me } : {}, how, save } : void 0;
  }
  #present(users) {
    const presence = this.#staged ? this.#stagedPresence : this.#presence;
    for (const user of users) presence.set(user.account, user);
    this.#touch("presence");
    return this.#staged || !users.length ? void 0 : { ...noNews(), how: "update", presence: users };
  }
  #synced(synced) {
    const next = this.#staged;
    if (!next) return void 0;
    const agrees = next.friends.size === synced.count && digest(next.friends, next.users) === synced.digest;
    if (!agrees && this.#doubt === "none") return this.#doubts("asked", "repair");
    const repaired = this.#repairing;
    this.#staged = void 0;
    if (!agrees && repaired) return this.#doubts("refetch", "retry");
    const before = this.#held;
    const full = this.#full;
    if (full) this.#keepWatched(next);
    this.#held = next;
    this.#touch(...PARTS);
    this.#doubt = agrees ? "none" : "unsure";
    this.#cursor = agrees ? synced.cursor : void 0;
    const changed = (now, old) => {
      const values = [];
      for (const [key, record] of now) if (full || record !== old.get(key)) values.push(record);
      return values;
    };
    const lifted = [...before.blocks].flatMap(([account, block]) => next.blocks.has(account) ? [] : [Object.freeze({ ...block, removed: true })]);
    const news = {
      me: next.me,
      users: changed(next.users, before.users),
      friends: changed(next.friends, before.friends),
      removed: [...before.friends.keys()].filter((account) => !next.friends.has(account)),
      requests: changed(next.requests, before.requests),
      blocks: [...changed(next.blocks, before.blocks), ...lifted]
    };
    const save = { ...this.#saved(news), clear: full, cursor: this.#cursor ?? null };
    if (full) save.removed = [];
    else if (next.me === before.me) delete save.me;
    if (news.me) news.me = this.me;
    const presence = this.#presence;
    this.#presence = this.#stagedPresence;
    if (repaired) {
      for (const { account, invisible } of this.#presence.values()) if (invisible === void 0 && !next.friends.has(account)) this.#presence.delete(account);
    }
    return {
      ...news,
      how: "sync",
      save,
      full,
      ...presence.size || this.#presence.size ? { presence: [...this.#presence.values()] } : {},
      ...repaired ? {} : this.#alone(),
      ...agrees ? {} : { mismatch: "accepted" }
    };
  }
  /** Drops the cursor after a mismatch. */
  #doubts(doubt, mismatch) {
    this.#doubt = doubt;
    this.#cursor = void 0;
    return { ...noNews(), how: "sync", save: { cursor: null }, mismatch, ...mismatch === "repair" ? this.#alone() : {} };
  }
  /** Ends a catch-up with no other sessions: the gateway sends them next, if there are any. */
  #alone() {
    const before = this.#sessions;
    this.#sessions = [];
    this.#touch("sessions");
    return before.length ? { sessions: [] } : {};
  }
  /** Keeps watched strangers until they come again, with any version: this may be another history. */
  #keepWatched(next) {
    const { users, friends } = this.#held;
    for (const account of this.#watched) {
      const user = friends.has(account) || next.users.has(account) ? void 0 : users.get(account);
      if (user) next.users.set(account, Object.freeze({ ...user, version: 0 }));
    }
  }
  /** Returns the change to store, without strangers' profiles, which nothing would keep up to date. */
  #saved({ me, users, friends, removed, requests, blocks }) {
    const known = users.filter(({ account }) => this.#held.friends.has(account));
    return { ...me ? { me } : {}, users: known, friends, removed, requests, blocks };
  }
};
function apply(into, changes) {
  const removed = (changes.removed ?? []).filter((account) => {
    into.users.delete(account);
    return into.friends.delete(account);
  });
  let me;
  if (newer(changes.me, into.me)) into.me = me = changes.me;
  const replaced = /* @__PURE__ */ new Set();
  const friends = (changes.friends ?? []).filter((friend) => {
    const held = into.friends.get(friend.account);
    if (!newer(friend, held)) return false;
    if (!held) into.users.delete(friend.account);
    replaced.add(friend.account);
    return into.friends.set(friend.account, friend);
  });
  const users = (changes.users ?? []).filter((user) => {
    const held = into.users.get(user.account);
    const counts = newer(user, held) || replaced.has(user.account) && user.version !== held?.version;
    return counts && into.users.set(user.account, user);
  });
  const requests = (changes.requests ?? []).filter((request) => {
    const key = requestKey(request);
    return newer(request, into.requests.get(key)) && into.requests.set(key, request);
  });
  const blocks = (changes.blocks ?? []).filter((block) => {
    if (!newer(block, into.blocks.get(block.account))) return false;
    return block.removed ? into.blocks.delete(block.account) : into.blocks.set(block.account, block);
  });
  return { me, users, friends, removed, requests, blocks };
}

// src/watches.ts
var GATHER_MS = 20;
var Watches = class {
  #handlers;
  #listed = /* @__PURE__ */ new Set();
  #holds = /* @__PURE__ */ new Map();
  #timer;
  constructor(handlers) {
    this.#handlers = handlers;
  }
  /** Replaces the application's list. */
  async list(accounts) {
    const { missing } = await this.#handlers.send(this.#with(accounts));
    this.#listed = accounts;
    return { missing: missing.filter((account) => accounts.has(account)) };
  }
  /** Adds accounts until the returned function is called; the same account may be held several times. */
  hold(accounts) {
    const held = new Set(accounts);
    for (const account of held) this.#holds.set(account, (this.#holds.get(account) ?? 0) + 1);
    this.refresh();
    return () => {
      for (const account of held) {
        const left = (this.#holds.get(account) ?? 0) - 1;
        if (left > 0) this.#holds.set(account, left);
        else this.#holds.delete(account);
      }
      held.clear();
      this.refresh();
    };
  }
  /** Forgets everything. */
  clear() {
    this.#listed = /* @__PURE__ */ new Set();
  }
  /** Sends the list soon if it is not what the gateway has: after a change of holds or friends, and after a login. */
  refresh() {
    this.#timer ??= setTimeout(() => {
      this.#timer = void 0;
      const wanted = this.#with(this.#listed);
      const watched = this.#handlers.watched();
      const same = wanted.size === watched.size && [...wanted].every((account) => watched.has(account));
      if (!same && this.#handlers.isLive()) this.#handlers.send(wanted).catch((error) => this.#handlers.failed(error));
    }, GATHER_MS);
  }
  stop() {
    clearTimeout(this.#timer);
    this.#timer = void 0;
  }
  #with(accounts) {
    return /* @__PURE__ */ new Set([...accounts, ...[...this.#holds.keys()].filter((account) => !this.#handlers.isKnown(account))]);
  }
};

// src/client.ts
var LOOKUP_MAX = 150;
var RosterdClient = class {
  #emitter = new Emitter();
  #replica = new Replica();
  #lifecycle;
  #watches;
  #schema;
  constructor(options) {
    checkOptions(options);
    this.#lifecycle = new Lifecycle(options, this.#emitter, this.#replica);
    this.#watches = new Watches({
      send: (accounts) => this.#sendWatch(accounts),
      isKnown: (account) => account === this.account || this.friends.has(account),
      watched: () => this.watched,
      isLive: () => this.state === "live",
      failed: (error) => this.#emitter.emit("error", error)
    });
    for (const event of ["synced", "friends", "friendRemoved"]) this.on(event, () => this.#watches.refresh());
  }
  get account() {
    return this.#lifecycle.options.account;
  }
  get url() {
    return this.#lifecycle.url;
  }
  get state() {
    return this.#lifecycle.state;
  }
  /** The connection in detail: `reconnecting` between two attempts, with `lastError` and `retryAt`. */
  get connection() {
    return this.#lifecycle.connectionState;
  }
  /** Everything that the client holds, unchanging; the event `change` announces another. The same object if nothing changed. */
  get snapshot() {
    return this.#lifecycle.snapshot;
  }
  /** The account's own profile as last known. Records are never changed in place. */
  get me() {
    return this.#replica.me;
  }
  /** The fields of {@link me} that the gateway has not confirmed; nothing if it has confirmed all. */
  get pending() {
    return this.#replica.pending;
  }
  /** Profiles by account: of friends, watched accounts and senders of signals. A full sync replaces the map. */
  get users() {
    return this.#replica.users;
  }
  /** The friend list: friendships by account. */
  get friends() {
    return this.#replica.friends;
  }
  /** The open requests of both directions. */
  get requests() {
    return this.#replica.requests;
  }
  /** The accounts that this one blocks. */
  get blocks() {
    return this.#replica.blocks;
  }
  /** Presence as of the last connection: friends that were ever online, and this account if it is invisible. */
  get presence() {
    return this.#replica.presence;
  }
  /** All sessions of this account, the oldest first; empty if this one has been alone since its login. */
  get sessions() {
    return this.#replica.sessions;
  }
  /** The accounts of the last {@link watch}. */
  get watched() {
    return this.#replica.watched;
  }
  get paused() {
    return this.#lifecycle.connection?.paused ?? false;
  }
  /** Adds a listener; returns a function that removes it. `signal` removes it as well. */
  on(event, listener, options) {
    return this.#emitter.on(event, listener, options);
  }
  /** Adds a listener for the next event of this kind only; returns a function that removes it. */
  once(event, listener, options) {
    return this.#emitter.once(event, listener, options);
  }
  /** Removes a listener. */
  off(event, listener) {
    this.#emitter.off(event, listener);
  }
  /**
   * Reads the store, connects, and stays connected. Resolves at the first `synced`. Rejects if a retry is pointless, for
   * instance after a refused token. It retries an unreachable gateway for ever, also when `signal` has ended the wait.
   */
  connect(limits) {
    return until(limits, this.#lifecycle.connect());
  }
  /** Closes the connection for good. Held and stored records stay. */
  disconnect() {
    this.#watches.stop();
    return this.#lifecycle.disconnect();
  }
  /** Ends the session in an orderly way. With `forget`, wipes all records of the account, stored ones included. */
  logout({ forget = false } = {}) {
    this.#watches.stop();
    if (forget) this.#watches.clear();
    return this.#lifecycle.logout(forget);
  }
  /**
   * Changes fields of the account's own profile and returns the new profile. With `ifVersion` only if that is still its
   * version (412 otherwise); such a call ends with `CONNECTION_LOST` if its answer is lost. With `optimistic` the change
   * shows at once. With `keep` it also waits for a connection, over a restart too, and is sent for the version that was
   * shown when it was made.
   */
  async updateMyInfo(fields, options = {}) {
    if (this.#schema && this.#schema.hash === this.#lifecycle.schema) checkFields(this.#schema, fields);
    const { updateMyInfoReply } = await this.#lifecycle.edits.update(fields, options);
    return answered(updateMyInfoReply).user;
  }
  /**
   * Returns the deployment's own fields, and which others only the backend may write. From then on, and until a login finds
   * others, {@link updateMyInfo} rejects what they do not allow without sending it.
   */
  async getSchema(limits) {
    const { getSchemaReply } = await this.#lifecycle.call({ getSchema: {} }, { limits, repeatable: true });
    return this.#schema = answered(getSchemaReply);
  }
  /**
   * Returns profiles of any accounts. Its own and those of friends and watched accounts come from memory unless `fresh`;
   * it requests others each time, as it receives no changes of them. `missing` are accounts that do not exist.
   */
  async getUsers(accounts, limits = {}) {
    const { fresh } = limits;
    const wanted = [...new Set(accounts)];
    const found = /* @__PURE__ */ new Map();
    for (const account of fresh ? [] : wanted) {
      const held = account === this.me?.account ? this.me : this.friends.has(account) || this.watched.has(account) ? this.users.get(account) : void 0;
      if (held) found.set(account, held);
    }
    const ask = wanted.filter((account) => !found.has(account));
    const parts = Array.from({ length: Math.ceil(ask.length / LOOKUP_MAX) }, (_, i) => ask.slice(i * LOOKUP_MAX, (i + 1) * LOOKUP_MAX));
    const replies = await Promise.all(parts.map((part) => this.#lifecycle.call({ getUsers: { accounts: part } }, { limits, repeatable: true })));
    for (const { getUsersReply } of replies) for (const user of answered(getUsersReply).users ?? []) found.set(user.account, user);
    return {
      users: wanted.flatMap((account) => found.get(account) ?? []),
      missing: wanted.filter((account) => !found.has(account))
    };
  }
  /** Returns one profile; 404 if the account does not exist. */
  async getUser(account, options) {
    const { users } = await this.getUsers([account], options);
    if (!users[0]) throw new RosterdError(Code.notFound, "NOT_FOUND", `there is no account ${account}`);
    return users[0];
  }
  /**
   * Makes two accounts friends without a request, where `friends.policy` allows it. A message of at most 256 characters
   * reaches the other side as an accepted request.
   */
  addFriend(account, message, limits) {
    return this.#change({ addFriend: { account, message } }, () => this.friends.has(account), limits);
  }
  /** Requests a friendship. If the other side has requested one too, both become friends. */
  requestFriend(account, message, limits) {
    return this.#change({ requestFriend: { account, message } }, () => this.friends.has(account) || this.#isOpen(account, "out"), limits);
  }
  /** Accepts the other side's request. */
  acceptFriend(account, limits) {
    return this.#change({ acceptFriend: { account } }, () => this.friends.has(account), limits);
  }
  /** Rejects the other side's request. */
  rejectFriend(account, limits) {
    return this.#change({ rejectFriend: { account } }, () => !this.#isOpen(account, "in"), limits);
  }
  /** Withdraws this account's request. */
  cancelRequest(account, limits) {
    return this.#change({ cancelRequest: { account } }, () => !this.#isOpen(account, "out"), limits);
  }
  /** Ends a friendship in both directions. */
  deleteFriend(account, limits) {
    return this.#change({ deleteFriend: { account } }, () => !this.friends.has(account), limits);
  }
  /** Changes the notes about a friend, which only this account sees. A missing field stays, `''` clears. */
  updateFriend(account, { alias, custom }, limits) {
    const shown = () => {
      const friend = this.friends.get(account);
      return friend !== void 0 && (alias ?? friend.alias) === friend.alias && (custom ?? friend.custom) === friend.custom;
    };
    const setting = { key: `friend ${account}`, version: () => this.friends.get(account)?.version, shown };
    return this.#change({ updateFriend: { account, alias, custom } }, () => shown() || !this.friends.has(account), limits, setting);
  }
  /** Stops everything that this account sends to the other, without notice. A friendship stays. */
  block(account, limits) {
    return this.#block({ block: { account } }, account, () => this.blocks.has(account), limits);
  }
  /** Ends a block. */
  unblock(account, limits) {
    return this.#block({ unblock: { account } }, account, () => !this.blocks.has(account), limits);
  }
  /**
   * Mutes an account, which need not be a friend, or mutes it no longer: on every device, and seen by no other account. The
   * list is `me.muted`. It decides nothing here or in the gateway: an application shows less of a muted account.
   */
  setMuted(account, muted, limits) {
    const shown = () => !!this.me?.muted?.includes(account) === muted;
    return this.#change({ setMuted: { account, muted } }, shown, limits, { key: "me", version: () => this.me?.version, shown });
  }
  /** Returns the sessions of this account, the oldest first. */
  async getSessions(limits) {
    const { getSessionsReply } = await this.#lifecycle.call({ getSessions: {} }, { limits, repeatable: true });
    return answered(getSessionsReply).sessions ?? [];
  }
  /** Ends other sessions of this account; returns those that existed. */
  async kick(sessions, limits) {
    const { kickReply } = await this.#lifecycle.call({ kick: { sessions: [...sessions] } }, { limits, repeatable: false });
    return answered(kickReply).kicked ?? [];
  }
  /**
   * Replaces the list of strangers whose profiles the client receives, at most 500. They come with `userUpdated` and are
   * in `users`, which drops accounts that leave the list. The list outlives connections. `missing` do not exist yet; they
   * come when they do.
   */
  watch(accounts, limits) {
    return until(limits, this.#watches.list(new Set(accounts)));
  }
  /**
   * Watches accounts besides those of {@link watch}, until the returned function is called. Holds are counted, so that
   * parts of an application do not overwrite each other's. A failure, as with more than 500 in all, is an `error` event.
   */
  hold(accounts) {
    return this.#watches.hold(accounts);
  }
  /**
   * Sends a text of at most 4096 bytes, at most once, to all sessions of `to`. `delivered` counts the sessions that will
   * receive it, `dropped` those that read too slowly; both are 0 unless this account sees the presence of `to`.
   */
  async signal(to, payload, limits) {
    const { signalReply } = await this.#lifecycle.call({ signal: { to, payload } }, { limits, repeatable: false });
    return answered(signalReply);
  }
  /**
   * Makes this account appear offline to its friends on every device (`invisible`), until it is set again, and shows them a
   * text of at most 256 characters beside its presence (`status`), which ends at `until`, or else when the account goes
   * offline; `''` ends it. What is missing stays.
   */
  setPresence({ invisible, status, until: until2 }, limits) {
    const own = () => this.presence.get(this.account);
    const version = () => own()?.version ?? 0;
    const shown = () => (invisible ?? own()?.invisible ?? false) === (own()?.invisible ?? false) && (status === void 0 || (own()?.status ?? "") === status && own()?.until === until2);
    const before = version();
    return this.#change({ setPresence: { invisible, status, until: until2 } }, () => shown() || status !== void 0 && version() !== before, limits, { key: "presence", version, shown });
  }
  /** Drops the connection as a bad network would. For tests and demonstrations. */
  cut() {
    this.#lifecycle.connection?.drop("cut");
  }
  /** Stops reading until `resume` or the end of the connection. Where the WebSocket cannot, holds frames back. */
  pause() {
    this.#lifecycle.connection?.pause();
  }
  /** Continues reading. */
  resume() {
    this.#lifecycle.connection?.resume();
  }
  /** Disconnects, removes all listeners, and closes the store: for `using`. The client is of no use afterwards. */
  [Symbol.dispose]() {
    void this.#lifecycle.dispose();
  }
  /** The same for `await using`: settles when all is written. */
  async [Symbol.asyncDispose]() {
    await this.#lifecycle.dispose();
  }
  async #sendWatch(list2) {
    const { watchReply } = await this.#lifecycle.call({ watch: { accounts: [...list2] } }, { repeatable: true });
    const { missing = [] } = answered(watchReply);
    this.#lifecycle.watched(list2, missing);
    return { missing };
  }
  /** Makes a call with an empty reply, which is done when its effect is visible. */
  async #change(command, here, limits, setting) {
    await this.#lifecycle.call(command, { limits, repeatable: false, here, setting });
  }
  #block(command, account, shown, limits) {
    return this.#change(command, shown, limits, { key: `block ${account}`, version: () => this.#replica.blockVersion(account), shown });
  }
  #isOpen(account, direction) {
    return this.requests.some((request) => request.account === account && request.direction === direction);
  }
};
function until(limits, wait) {
  if (!limits?.signal) return wait;
  return new Promise((resolve, reject) => {
    const stop = onAbort(limits, reject);
    wait.then(resolve, reject).finally(stop);
  });
}
function answered(reply) {
  if (reply === void 0) throw new RosterdError(Code.internal, "BAD_FRAME", "the reply is not one to this command");
  return reply;
}
export {
  Close,
  Code,
  Gathered,
  IndexedDbStore,
  MemoryStore,
  RosterdClient,
  RosterdError,
  UnauthorizedError,
  cutBy,
  cutByAccount as cutFriends,
  digest,
  gatewayOf,
  merge,
  mergeBy,
  mergeByAccount as mergeFriends,
  mergeByAccount as mergeUsers,
  report,
  requestKey
};
//# sourceMappingURL=core.js.map
