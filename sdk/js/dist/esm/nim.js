// src/nim.ts
import { RosterdClient } from "./core.js";
import { cutBy, cutFriends as cutFriends2, merge, mergeBy, mergeFriends, mergeUsers } from "./core.js";

// src/nim-callbacks.ts
import { report } from "./core.js";
import { cutFriends } from "./core.js";

// src/nim-errors.ts
import { RosterdError } from "./core.js";
var WRONG_TOKEN = 302;
var NETWORK = 415;
var PROFILE_CONTENT = 103451;
var FRIEND_CONTENT = 104451;
var CLOSE = { 3500: WRONG_TOKEN, 3501: 509, 3502: 408, 3505: 422, 3506: WRONG_TOKEN };
var REFUSALS = [302, 403, 404];
function failure(error, callFunc) {
  const { code = 500, message = String(error) } = error ?? {};
  const { reason, field, detail } = error instanceof RosterdError ? error : {};
  const event2 = { callFunc };
  if (reason !== void 0) event2.reason = reason;
  if (field !== void 0) event2.field = field;
  if (detail !== void 0) event2.detail = detail;
  const refused = callFunc === "updateMyInfo" ? PROFILE_CONTENT : callFunc === "publishEvent" ? code : FRIEND_CONTENT;
  return { code: reason === "REJECTED" ? refused : code, message, event: event2 };
}
function networkCode(close, error) {
  return CLOSE[close] ?? (error && REFUSALS.includes(error.code) ? WRONG_TOKEN : NETWORK);
}

// src/nim-events.ts
var STATUS = 10001;
var DAY = 86400;
var MINUTE = 60;
var EventSubscriptions = class {
  #client;
  #held = /* @__PURE__ */ new Map();
  // The own status that the application knows.
  #own = "";
  constructor(client) {
    this.#client = client;
  }
  /** Sets the status; throws if an event is not one that a status can carry. */
  async publish({ value, custom = "", validTime = 7 * DAY, broadcastType = 2 }) {
    if (value !== STATUS) wrong(`value must be ${STATUS}: a status is one text, and custom is that text`);
    if (typeof custom !== "string") wrong("custom must be a text");
    if (broadcastType !== 2) wrong("broadcastType must be 2: friends who come later see a status, too");
    within("validTime", validTime, 7 * DAY);
    this.#own = custom;
    const until = custom ? Date.now() + validTime * 1e3 : void 0;
    await this.#client.setPresence({ status: custom, until }).catch((error) => {
      this.#own = this.#status();
      throw error;
    });
  }
  /** Subscribes to friends, with what is there already if `sync`, and returns the other accounts: their presence is not seen. */
  subscribe(accounts, sync, subscribeTime = 30 * DAY) {
    within("subscribeTime", subscribeTime, 30 * DAY);
    const { friends, presence } = this.#client;
    return accounts.filter((account) => {
      if (!friends.has(account)) return true;
      this.#held.set(account, { time: Date.now(), subscribeTime, shown: sync ? void 0 : presence.get(account) });
      return false;
    });
  }
  unsubscribe(accounts) {
    for (const account of accounts) this.#held.delete(account);
  }
  /** The accounts with a subscription. */
  accounts() {
    const now = Date.now();
    for (const [account, { time, subscribeTime }] of this.#held) if (time + subscribeTime * 1e3 <= now) this.#held.delete(account);
    return [...this.#held.keys()];
  }
  /** Describes the subscriptions of these accounts. */
  query(accounts) {
    return this.accounts().filter((to) => accounts.includes(to)).map((to) => {
      const { time, subscribeTime } = this.#held.get(to);
      return { type: "1", to, time: `${time}`, subscribeTime: `${subscribeTime}` };
    });
  }
  /** Returns the events of these accounts since the last ones; `afresh` repeats who is online, as NIM does at a login. */
  events(accounts, afresh) {
    const subscribed = new Set(this.accounts());
    const events = accounts.filter((account) => subscribed.has(account)).flatMap((account) => {
      const [held, now] = [this.#held.get(account), this.#client.presence.get(account)];
      const before = afresh && now?.online ? void 0 : held.shown;
      held.shown = now;
      const [old, shown] = [clients(before), clients(now)];
      const values = `${old}` === `${shown}` ? [] : [shown.some((client) => !old.includes(client)) ? 1 : 2];
      if (now?.online && (now.status ?? "") !== (before?.status ?? "")) values.push(STATUS);
      return values.map((value) => event(account, value, now));
    });
    const status = this.#status();
    if (!afresh && status !== this.#own) events.push(event(this.#client.account, STATUS, this.#client.presence.get(this.#client.account)));
    this.#own = status;
    return events;
  }
  #status() {
    return this.#client.presence.get(this.#client.account)?.status ?? "";
  }
};
function wrong(message) {
  throw { code: 414, message };
}
function within(name, seconds, most) {
  if (!(seconds >= MINUTE && seconds <= most)) wrong(`${name} must be from ${MINUTE} to ${most} seconds`);
}
var CLIENTS = { android: 1, ios: 2, pc: 4, web: 16, mac: 64 };
function clients(now) {
  return now?.online ? [...new Set((now.devices ?? ["web"]).map((kind) => CLIENTS[kind] ?? CLIENTS.web))] : [];
}
function event(account, value, now) {
  const status = now?.status;
  return {
    type: "1",
    value: `${value}`,
    account,
    time: `${value !== STATUS && now?.lastSeen || Date.now()}`,
    clientType: "Web",
    idClient: "",
    idServer: "",
    custom: status ? { 16: status } : {},
    serverConfig: JSON.stringify({ online: clients(now) })
  };
}

// src/nim-records.ts
import { Code } from "./core.js";
function profile({ version: _, muted: __, ...fields }) {
  return fields;
}
function muted(me) {
  return (me?.muted ?? []).map((account) => ({ account, isMuted: true, createTime: 0, updateTime: 0 }));
}
function relation({ version: _, ...fields }) {
  return { ...fields, valid: true };
}
function changedRelation(friend, before) {
  const { account, alias, custom, createTime, updateTime } = friend;
  return {
    account,
    ...alias === before.alias ? {} : { alias },
    ...custom === before.custom ? {} : { custom },
    createTime,
    updateTime
  };
}
function blocked({ account, createTime }) {
  return { account, isBlack: true, createTime, updateTime: createTime };
}
var DEVICE_TYPES = { android: "Android", ios: "iOS", pc: "PC", web: "Web", mac: "Mac" };
function loginPort(account, { session, device, connectedAt }, online) {
  return {
    type: DEVICE_TYPES[device.type.toLowerCase()] ?? device.type,
    os: "",
    mac: "",
    deviceId: session,
    account,
    connectionId: 0,
    ip: "",
    time: connectedAt,
    online,
    ...device.tag ? { customTag: device.tag } : {}
  };
}
function systemMessage(own, request, type) {
  const { account, message, state, createTime, updateTime } = request;
  const STATES = { open: "init", accepted: "passed", rejected: "rejected", cancelled: "error", expired: "error" };
  return {
    // The same for the whole life of a request.
    type,
    from: account,
    to: own,
    time: updateTime,
    idServer: `${account}-${createTime}`,
    category: "friend",
    state: STATES[state],
    read: false,
    ps: message,
    ...STATES[state] === "error" ? { error: { code: Code.notFound, message: `the request is ${state}`, event: { callFunc: "applyFriend" } } } : {}
  };
}

// src/nim-callbacks.ts
import { Close } from "./core.js";
import { requestKey } from "./core.js";
var Callbacks = class {
  constructor(client, options) {
    // The client waits before the next attempt.
    this.waiting = false;
    // Accounts of pending calls, whose effects only `done` reports.
    this.own = [];
    this.#emittedCache = false;
    // The application's lists, if it merges all callbacks.
    this.#friends = /* @__PURE__ */ new Map();
    this.#blocked = [];
    this.#muted = [];
    // The keys of reported open requests.
    this.#asked = /* @__PURE__ */ new Set();
    this.#ports = [];
    this.#client = client;
    this.options = options;
    this.events = new EventSubscriptions(client);
    this.#listen();
  }
  #client;
  // Already reported by `ondisconnect`, so not by `onerror`.
  #ended;
  // The profile that `onmyinfo` got last, since the login.
  #emittedMe;
  #emittedCache;
  // Changes between login and `onsyncdone`.
  #catchUp;
  #friends;
  #blocked;
  #muted;
  #asked;
  #ports;
  friend(account) {
    const friend = this.#client.friends.get(account);
    return friend ? { friend: relation(friend) } : {};
  }
  #listen() {
    const client = this.#client;
    const on = (event2, listener) => void client.on(event2, listener);
    on("state", (state) => {
      if (state !== "disconnected") this.waiting = false;
      if (state === "syncing") this.#connected();
    });
    on("me", (user, how) => {
      if (how === "sync") this.#emitMe(user);
      else if (how === "update") {
        this.#call("onupdatemyinfo", profile(user));
        this.#mutesChanged(user);
      } else this.#muted = muted(user);
    });
    on("users", (users, how) => {
      if (how === "sync") this.#emitUsers(users);
    });
    on("userUpdated", (user) => this.#call("onupdateuser", profile(user)));
    on("friends", (friends, how) => {
      if (how === "update") this.#friendsChanged(friends);
      else if (this.#catchUp) this.#catchUp.friends = friends;
    });
    on("friendRemoved", (account) => {
      this.#friends.delete(account);
      this.events.unsubscribe([account]);
      if (this.#catchUp) this.#catchUp.removed.push(account);
      else this.#emitFriends([], [account]);
    });
    on("requests", (requests, how) => {
      if (how === "update") for (const request of requests) this.#requestChanged(request);
      else this.#catchUp?.requests.push(...requests);
    });
    on("blocks", (blocks, how) => {
      if (how === "update") this.#blocksChanged(blocks);
      else if (how === "sync" && this.#catchUp) this.#catchUp.blocks = true;
    });
    on("presence", (presence, how) => {
      const afresh = how === "sync";
      this.emitEvents(afresh ? this.events.accounts() : presence.map(({ account }) => account), afresh);
    });
    on("sessions", (sessions) => this.#emitPorts(sessions));
    on("synced", () => this.#synced());
    on("willReconnect", ({ attempt, delayMs }) => {
      const { reconnectionAttempts } = this.options;
      if (reconnectionAttempts !== void 0 && attempt > reconnectionAttempts) {
        this.leaving = { code: "allAttemptsFailed", message: `${reconnectionAttempts} attempts to connect failed`, callFunc: "connect" };
        void client.disconnect();
      } else {
        this.#call("onwillreconnect", { retryCount: attempt, duration: delayMs });
      }
    });
    on("disconnected", (ended) => {
      this.#catchUp = void 0;
      this.#emittedMe = void 0;
      this.waiting = ended.willReconnect;
      if (ended.willReconnect) return;
      this.#ended = ended.error;
      const message = ended.error?.message ?? ended.reason;
      this.#call("ondisconnect", this.leaving ?? kicked(ended.code, message) ?? { code: networkCode(ended.code, ended.error), message });
    });
    on("error", (error) => {
      if (error !== this.#ended) this.#call("onerror", failure(error, "connection"));
    });
  }
  /** Reports the login, and then cached records: the catch-up brings only differences to them. */
  #connected() {
    this.#catchUp = { removed: [], requests: [] };
    const { customTag } = this.options;
    this.#call("onconnect", { lastLoginDeviceId: "", connectionId: "", ip: "", port: "", ...customTag === void 0 ? {} : { customTag } });
    if (this.#emittedCache) return;
    this.#emittedCache = true;
    const { me, users, friends } = this.#client;
    if (!me) return;
    this.#emitMe(me);
    this.#emitUsers([...users.values()]);
    this.#emitFriends([...friends.values()], []);
    if (this.#client.blocks.size) this.#emitBlocked();
    this.#emitRequests([]);
  }
  #synced() {
    const { friends, removed, requests, blocks } = this.#catchUp ?? { removed: [], requests: [] };
    this.#catchUp = void 0;
    this.#friends = new Map(this.#client.friends);
    if (friends || removed.length) this.#emitFriends(friends ?? [], removed);
    if (blocks) this.#emitBlocked();
    this.#emitRequests(requests);
    this.#call("onsyncdone");
  }
  #emitMe(user) {
    if (user === this.#emittedMe) return;
    this.#emittedMe = user;
    this.#call("onmyinfo", profile(user));
    const now = muted(user);
    const list2 = cutFriends(now, this.#muted);
    list2.invalid = cutFriends(this.#muted, now);
    this.#muted = now;
    if (this.options.syncRelations !== false && (list2.length || list2.invalid.length)) this.#call("onmutelist", list2);
  }
  /** Reports what another device muted, or no longer. */
  #mutesChanged(user) {
    const [before, now] = [this.#muted, muted(user)];
    this.#muted = now;
    const marks = [...cutFriends(now, before).map(({ account }) => ({ account, isAdd: true })), ...cutFriends(before, now).map(({ account }) => ({ account, isAdd: false }))];
    for (const mark of marks) this.#call("onsyncmarkinmutelist", { ...mark, record: { account: mark.account, updateTime: user.updateTime } });
  }
  #emitUsers(users) {
    if (this.options.syncFriendUsers !== false) this.#call("onusers", users.map(profile));
  }
  #emitFriends(friends, removed) {
    if (this.options.syncFriends === false) return;
    const list2 = friends.map(relation);
    list2.invalid = removed.map((account) => ({ account, valid: false, createTime: 0, updateTime: 0 }));
    this.#call("onfriends", list2);
  }
  #friendsChanged(friends) {
    const entered = friends.filter(({ account }) => !this.#friends.has(account));
    if (entered.length) this.#emitFriends(entered, []);
    for (const friend of friends) {
      const before = this.#friends.get(friend.account);
      this.#friends.set(friend.account, friend);
      if (before && !this.own.includes(friend.account)) this.#call("onsyncfriendaction", { type: "updateFriend", friend: changedRelation(friend, before) });
    }
  }
  #blocksChanged(blocks) {
    this.#blocked = [...this.#client.blocks.values()].map(blocked);
    for (const { account, createTime, removed } of blocks) {
      const mark = { account, isAdd: !removed, record: { account, updateTime: createTime } };
      if (!this.own.includes(account)) this.#call("onsyncmarkinblacklist", mark);
    }
  }
  #emitBlocked() {
    const now = [...this.#client.blocks.values()].map(blocked);
    const list2 = cutFriends(now, this.#blocked);
    list2.invalid = cutFriends(this.#blocked, now);
    this.#blocked = now;
    if (this.options.syncRelations !== false) this.#call("onblacklist", list2);
  }
  /** Reports open requests that are new, and the outcome of others. */
  #emitRequests(changed) {
    const open = this.#client.requests;
    const messages = [.../* @__PURE__ */ new Set([...open, ...changed])].flatMap((request) => this.#message(request) ?? []);
    this.#asked = new Set(open.map(requestKey));
    if (messages.length) this.#call("onofflinesysmsgs", messages);
  }
  #requestChanged(request) {
    const { account, direction, state } = request;
    const wasOpen = this.#asked.has(requestKey(request));
    const message = this.#message(request);
    if (message) this.#call("onsysmsg", message);
    if (this.own.includes(account)) return;
    const action = (type, more = {}) => this.#call("onsyncfriendaction", { type, account, ...more });
    if (direction === "out" && state === "open") action("applyFriend");
    else if (direction === "out" && state === "accepted" && !wasOpen) action("addFriend", this.friend(account));
    else if (direction === "in" && state === "accepted" && wasOpen) action("passFriendApply", this.friend(account));
    else if (direction === "in" && state === "rejected") action("rejectFriendApply");
  }
  /** Returns the other side's new action, if any. Reports the outcome of a known request at once. */
  #message(request) {
    const key = requestKey(request);
    const { direction, state } = request;
    const wasOpen = this.#asked.has(key);
    if (state === "open") this.#asked.add(key);
    else this.#asked.delete(key);
    const message = (type) => systemMessage(this.#client.account, request, type);
    if (direction === "in" && wasOpen && state !== "open") this.#call("onupdatesysmsg", message("applyFriend"));
    if (direction === "in" && !wasOpen && state === "open") return message("applyFriend");
    if (direction === "in" && !wasOpen && state === "accepted") return message("addFriend");
    if (direction === "out" && wasOpen && state === "accepted") return message("passFriendApply");
    if (direction === "out" && state === "rejected") return message("rejectFriendApply");
    return void 0;
  }
  #emitPorts(sessions) {
    const there = sessions.filter(({ current }) => !current).map((session) => loginPort(this.#client.account, session, true));
    const ids = new Set(there.map(({ deviceId }) => deviceId));
    const gone = this.#ports.filter(({ deviceId }) => !ids.has(deviceId)).map((port) => ({ ...port, online: false }));
    this.#ports = there;
    if (there.length || gone.length) this.#call("onloginportschange", [...there, ...gone]);
  }
  /** Reports the events of these accounts since the last report. */
  emitEvents(accounts, afresh) {
    const msgEvents = this.events.events(accounts, afresh);
    if (msgEvents.length) this.#call("onpushevents", { msgEvents });
  }
  #call(name, ...args) {
    safely(() => this.options[name]?.(...args));
  }
};
function kicked(close, message) {
  const reason = { [Close.kicked]: "otherPlatformKick", [Close.sessionLimit]: "samePlatformKick" }[close];
  return reason === void 0 ? void 0 : { code: "kicked", reason, message, custom: "", from: "Server", customClientType: 0 };
}
function safely(callback) {
  try {
    callback();
  } catch (error) {
    report(error);
  }
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
  syncRelations: true,
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
  onsyncmarkinblacklist: true,
  onmutelist: true,
  onsyncmarkinmutelist: true,
  onofflinesysmsgs: true,
  onsysmsg: true,
  onupdatesysmsg: true,
  onloginportschange: true,
  onpushevents: true
};
var warned = /* @__PURE__ */ new Set();
function warnOfIgnored(options) {
  const ignored = Object.keys(options).filter((name) => !(name in KNOWN) && !warned.has(name));
  if (!ignored.length) return;
  for (const name of ignored) warned.add(name);
  console.warn(`rosterd: these NIM options do nothing here: ${ignored.join(", ")}`);
}

// src/nim.ts
import { gatewayOf } from "./core.js";
var LOOKUP_MAX = 150;
var OWN_FIELDS = ["nick", "avatar", "sign", "gender", "email", "birth", "tel", "custom"];
var servedFrom = gatewayOf(globalThis.document?.currentScript?.src);
var instances = /* @__PURE__ */ new Map();
var NIM = class _NIM {
  constructor(options) {
    this.#destroyed = false;
    // The same under NIM's other names, for pages that show avatars with them.
    this.viewImageThumbnail = this.viewImageSync;
    this.viewImageCrop = this.viewImageSync;
    this.viewImageQuality = this.viewImageSync;
    this.viewImageRotate = this.viewImageSync;
    this.viewImageBlur = this.viewImageSync;
    this.viewImageInterlace = this.viewImageSync;
    this.viewImageStripMeta = this.viewImageSync;
    warnOfIgnored(options);
    this.client = new RosterdClient({
      url: options.url ?? servedFrom,
      account: options.account,
      getToken: (why) => this.#token(why),
      store: options.db === false ? "memory" : "auto",
      reconnect: options.needReconnect,
      requestTimeoutMs: options.cmdTimeout,
      device: { type: "web", tag: options.customTag ?? void 0 }
    });
    this.#callbacks = new Callbacks(this.client, options);
  }
  static {
    this.util = { merge };
  }
  /** The class itself, for pages that write `SDK.NIM`. */
  static get NIM() {
    return _NIM;
  }
  /** Returns the account's instance. A later call gives it the new options and connects it if it is down. */
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
  #callbacks;
  // The last token used; the same one after its end is useless.
  #shownToken;
  #destroyed;
  get account() {
    return this.client.account;
  }
  /** Replaces options and callbacks at once, and the token at the next login. */
  setOptions(options) {
    warnOfIgnored(options);
    this.#callbacks.options = merge(this.#callbacks.options, options);
  }
  /** Connects. Callbacks report the result. */
  connect() {
    if (this.#destroyed) return console.warn(`rosterd: the NIM instance of ${this.account} is destroyed`);
    this.#callbacks.leaving = void 0;
    this.client.connect().catch(() => {
    });
  }
  /** Ends the connection; `connect` continues with the held records. */
  disconnect(options = {}) {
    this.#leave("disconnect", options?.done);
  }
  /** Ends the connection and the instance; the next `getInstance` creates another. */
  destroy(options = {}) {
    this.#destroyed = true;
    if (instances.get(this.account) === this) instances.delete(this.account);
    this.#leave("destroy", options?.done);
  }
  /** Ends the session in an orderly way; `connect` starts another with the held records. */
  logout(options = {}) {
    this.#leave("logout", options?.done, () => this.client.logout());
  }
  /** Returns 0 without a login, 1 with one, 2 during a login, and 3 while the client waits before the next attempt. */
  getLoginStatus() {
    const { state } = this.client;
    return state === "live" ? 1 : state === "disconnected" ? this.#callbacks.waiting ? 3 : 0 : 2;
  }
  /** Changes fields of the account's own profile. */
  updateMyInfo(options) {
    const fields = Object.fromEntries(OWN_FIELDS.map((name) => [name, options[name]]));
    this.#answer("updateMyInfo", options.done, async () => profile(await this.client.updateMyInfo(fields)));
  }
  /** Returns a profile: a held one if the client keeps it up to date, unless `sync`. */
  getUser(options) {
    const { account, sync: fresh = false, done } = options;
    this.#answer("getUser", done, async () => profile(await this.client.getUser(account, { fresh })));
  }
  /** Returns at most 150 profiles, like `getUser`, without accounts that do not exist. */
  getUsers(options) {
    const { accounts, sync: fresh = false, done } = options;
    this.#answer("getUsers", done, async () => {
      if (list("accounts", accounts).length > LOOKUP_MAX) throw { code: 419, message: `accounts may be at most ${LOOKUP_MAX}` };
      return (await this.client.getUsers(accounts, { fresh })).users.map(profile);
    });
  }
  /** Makes friends without a request; 403 where `friends.policy` forbids it. */
  addFriend(options) {
    const { account, ps } = options;
    this.#relate("addFriend", options, async () => {
      await this.client.addFriend(account, ps);
      return { account, ...given({ ps }), ...this.#callbacks.friend(account) };
    });
  }
  applyFriend(options) {
    const { account, ps } = options;
    this.#relate("applyFriend", options, async () => {
      await this.client.requestFriend(account, ps);
      return { account, ...given({ ps }) };
    });
  }
  passFriendApply(options) {
    const { account, ps, idServer } = options;
    this.#relate("passFriendApply", options, async () => {
      await this.client.acceptFriend(account);
      return { account, ...given({ ps, idServer }), ...this.#callbacks.friend(account) };
    });
  }
  rejectFriendApply(options) {
    const { account, ps, idServer } = options;
    this.#relate("rejectFriendApply", options, async () => {
      await this.client.rejectFriend(account);
      return { account, ...given({ ps, idServer }) };
    });
  }
  deleteFriend(options) {
    const { account } = options;
    this.#relate("deleteFriend", options, async () => {
      await this.client.deleteFriend(account);
      return { account };
    });
  }
  /** Changes a friend's `alias` and `custom`: a missing field stays, an empty text clears it. */
  updateFriend(options) {
    const { account, alias, custom } = options;
    this.#relate("updateFriend", options, async () => {
      await this.client.updateFriend(account, { alias, custom });
      return this.#callbacks.friend(account).friend;
    });
  }
  /** Returns the held friend list, or those that changed after `updateTime`. */
  getFriends(options) {
    const { updateTime = 0, done } = options;
    this.#answer("getFriends", done, async () => [...this.client.friends.values()].map(relation).filter((friend) => friend.updateTime > updateTime));
  }
  /** Checks the held friend list. */
  isMyFriend(options) {
    this.#answer("isMyFriend", options.done, async () => this.client.friends.has(options.account));
  }
  /** Blocks an account, or with `isAdd: false` unblocks it. */
  markInBlacklist(options) {
    this.#mark("markInBlacklist", options, options.isAdd ?? true);
  }
  addToBlacklist(options) {
    this.#mark("addToBlacklist", options, true);
  }
  removeFromBlacklist(options) {
    this.#mark("removeFromBlacklist", options, false);
  }
  /** Checks the held blocklist. */
  isUserInBlackList(options) {
    this.#answer("isUserInBlackList", options.done, async () => this.client.blocks.has(options.account));
  }
  /** Mutes an account, or with `isAdd: false` no longer. */
  markInMutelist(options) {
    this.#mute("markInMutelist", options, options.isAdd ?? true);
  }
  addToMutelist(options) {
    this.#mute("addToMutelist", options, true);
  }
  removeFromMutelist(options) {
    this.#mute("removeFromMutelist", options, false);
  }
  /** Returns the held blocklist and mute list. */
  getRelations(options) {
    this.#answer("getRelations", options.done, async () => ({ blacklist: [...this.client.blocks.values()].map(blocked), mutelist: muted(this.client.me) }));
  }
  /** Ends other sessions by their `deviceId`; `done` receives those that existed. */
  kick(options) {
    const { deviceIds, done } = options;
    this.#answer("kick", done, async () => {
      return { deviceIds: await this.client.kick(list("deviceIds", deviceIds)) };
    });
  }
  /** Sets the own status to `custom`, for `validTime` seconds; friends and the own other devices get it as an event. */
  publishEvent(options) {
    this.#event("publishEvent", options, async (events) => {
      await events.publish(options);
      return { idClient: "", idServer: "", time: Date.now() };
    });
  }
  /** Has `onpushevents` called for friends, for at most `subscribeTime` seconds; `failedAccounts` are no friends. */
  subscribeEvent(options) {
    const { type, accounts, subscribeTime, sync = true } = options;
    const done = (error, data) => {
      safely(() => options.done?.(error, data));
      if (!error) this.#callbacks.emitEvents(accounts, false);
    };
    this.#event("subscribeEvent", { type, done }, async (events) => ({ failedAccounts: events.subscribe(list("accounts", accounts), sync, subscribeTime) }));
  }
  unSubscribeEventsByAccounts(options) {
    this.#event("unSubscribeEventsByAccounts", options, async (events) => {
      events.unsubscribe(list("accounts", options.accounts));
      return { failedAccounts: [] };
    });
  }
  unSubscribeEventsByType(options) {
    this.#event("unSubscribeEventsByType", options, async (events) => events.unsubscribe(events.accounts()));
  }
  querySubscribeEventsByAccounts(options) {
    this.#event("querySubscribeEventsByAccounts", options, async (events) => events.query(list("accounts", options.accounts)));
  }
  querySubscribeEventsByType(options) {
    this.#event("querySubscribeEventsByType", options, async (events) => events.query(events.accounts()));
  }
  /** Returns a new list: known accounts get the newer fields, others are appended. */
  mergeUsers(users, news) {
    return mergeUsers(users, news);
  }
  /** Merges friends like `mergeUsers`. */
  mergeFriends(friends, news) {
    return mergeFriends(friends, news);
  }
  /** Returns a new list without `gone`, the `invalid` of `onfriends`. */
  cutFriends(friends, gone) {
    return cutFriends2(friends, gone);
  }
  /** Returns a new list without these accounts. */
  cutFriendsByAccounts(friends, accounts) {
    return cutFriends2(friends, accounts);
  }
  /** Merges relations like `mergeUsers`. */
  mergeRelations(relations, news) {
    return mergeFriends(relations, news);
  }
  /** Returns a new list without `gone`, the `invalid` of `onblacklist`. */
  cutRelations(relations, gone) {
    return cutFriends2(relations, gone);
  }
  findRelation(relations, account) {
    return relations?.find((relation2) => relation2.account === account) ?? null;
  }
  findUser(users, account) {
    return users?.find((user) => user.account === account) ?? null;
  }
  findFriend(friends, account) {
    return friends?.find((friend) => friend.account === account) ?? null;
  }
  /** Returns a new list: system messages of the same request are merged, others appended. */
  mergeSysMsgs(messages, news) {
    return mergeBy("idServer", messages, news);
  }
  /** Returns a new list without `gone`. */
  cutSysMsgs(messages, gone) {
    return cutBy("idServer", messages, gone);
  }
  findSysMsg(messages, idServer) {
    return messages?.find((message) => message.idServer === idServer) ?? null;
  }
  /** Returns a new list of sessions, merged by `deviceId`. */
  mergeLoginPorts(ports, news) {
    return mergeBy("deviceId", ports, news);
  }
  /** Returns a new list without `gone`. */
  cutLoginPorts(ports, gone) {
    return cutBy("deviceId", ports, gone);
  }
  /** Returns the address of an image as it is: the gateway keeps no images, so it cannot change one. */
  viewImageSync({ url }) {
    return url;
  }
  #mark(callFunc, options, isAdd) {
    const { account } = options;
    this.#relate(callFunc, options, async () => {
      await (isAdd ? this.client.block(account) : this.client.unblock(account));
      return { account, isAdd, record: { account, updateTime: this.client.blocks.get(account)?.createTime ?? Date.now() } };
    });
  }
  #mute(callFunc, options, isAdd) {
    const { account } = options;
    this.#relate(callFunc, options, async () => {
      await this.client.setMuted(account, isAdd);
      return { account, isAdd, record: { account, updateTime: Date.now() } };
    });
  }
  #event(callFunc, { type, done }, ask) {
    this.#answer(callFunc, done, async () => {
      if (type !== 1) wrong("type must be 1");
      return ask(this.#callbacks.events);
    });
  }
  /** Makes a call about one account; only `done` reports its effects. */
  #relate(callFunc, { account, done }, ask) {
    const { own } = this.#callbacks;
    own.push(account);
    this.#answer(callFunc, done, () => ask().finally(() => own.splice(own.indexOf(account), 1)));
  }
  #token(why) {
    const token = credential(this.account, this.#callbacks.options.token ?? this.account);
    if (why === "expired" && token === this.#shownToken) {
      const message = "the token has ended, and no other was set in onwillreconnect";
      this.#callbacks.leaving = { code: WRONG_TOKEN, message };
      void this.client.disconnect();
    }
    return this.#shownToken = token;
  }
  #leave(callFunc, done, leave = () => this.client.disconnect()) {
    this.#callbacks.leaving = { code: "alreadyDisconnected", message: `${callFunc} was called`, callFunc };
    this.#answer(callFunc, done, async () => {
      await leave();
      return {};
    });
  }
  #answer(callFunc, done, ask) {
    ask().then(
      (data) => safely(() => done?.(null, data)),
      (error) => safely(() => done?.(failure(error, callFunc), void 0))
    );
  }
};
function list(name, value) {
  return Array.isArray(value) ? value : wrong(`${name} must be a list`);
}
function given(fields) {
  return merge(fields);
}
function credential(account, token) {
  const isWhole = token === account || token.startsWith(`${account}:`) || /^[\w-]+\.[\w-]+\.[\w-]+$/.test(token);
  return isWhole ? token : `${account}:${token}`;
}
var nim_default = NIM;
export {
  NIM,
  nim_default as default
};
//# sourceMappingURL=nim.js.map
