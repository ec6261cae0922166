"use client";
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

// src/react.ts
var react_exports = {};
__export(react_exports, {
  RosterdProvider: () => RosterdProvider,
  useConnection: () => useConnection,
  useFriends: () => useFriends,
  useMe: () => useMe,
  usePresence: () => usePresence,
  useRequests: () => useRequests,
  useRosterd: () => useRosterd,
  useSnapshot: () => useSnapshot,
  useUser: () => useUser
});
module.exports = __toCommonJS(react_exports);
var import_react = require("react");
var Context = (0, import_react.createContext)(void 0);
function RosterdProvider({ client, children }) {
  return (0, import_react.createElement)(Context.Provider, { value: client }, children);
}
function useRosterd() {
  const client = (0, import_react.useContext)(Context);
  if (!client) throw new Error("there is no <RosterdProvider client={…}> above this component");
  return client;
}
function useSnapshot(select) {
  const client = useRosterd();
  const subscribe = (0, import_react.useCallback)((changed) => client.on("change", changed), [client]);
  const read = () => select(client.snapshot);
  return (0, import_react.useSyncExternalStore)(subscribe, read, read);
}
function useMe() {
  return useSnapshot(({ me }) => me);
}
var collator;
var byName = (a, b) => collator?.compare(a.name, b.name) || (a.account < b.account ? -1 : 1);
function useFriends({ sort = byName, filter } = {}) {
  collator ??= new Intl.Collator(void 0, { sensitivity: "base", numeric: true });
  const friends = useSnapshot(({ friends: friends2 }) => friends2);
  const users = useSnapshot(({ users: users2 }) => users2);
  const presence = useSnapshot(({ presence: presence2 }) => presence2);
  const known = (0, import_react.useRef)(/* @__PURE__ */ new Map());
  const views = (0, import_react.useMemo)(() => {
    const next = /* @__PURE__ */ new Map();
    for (const [account, friend] of friends) {
      const [user, here, before2] = [users.get(account), presence.get(account), known.current.get(account)];
      const same = before2 && before2.friend === friend && before2.user === user && before2.presence === here;
      next.set(account, same ? before2 : { account, friend, user, presence: here, name: friend.alias || user?.nick || account });
    }
    return next;
  }, [friends, users, presence]);
  (0, import_react.useEffect)(() => void (known.current = views), [views]);
  const before = (0, import_react.useRef)([]);
  const list = (0, import_react.useMemo)(() => {
    const rest = new Map(views);
    const inOrder = (sort === byName ? before.current : []).filter(({ account }) => rest.delete(account));
    const list2 = [...inOrder.map(({ account }) => views.get(account)), ...rest.values()];
    return (filter ? list2.filter(filter) : list2).sort(sort);
  }, [views, sort, filter]);
  (0, import_react.useEffect)(() => void (before.current = list), [list]);
  return list;
}
function useUser(account) {
  const client = useRosterd();
  (0, import_react.useEffect)(() => client.hold([account]), [client, account]);
  return useSnapshot(({ me, users }) => me?.account === account ? me : users.get(account));
}
function useRequests(direction) {
  const requests = useSnapshot(({ requests: requests2 }) => requests2);
  return (0, import_react.useMemo)(() => direction ? requests.filter((request) => request.direction === direction) : requests, [requests, direction]);
}
function usePresence(account) {
  return useSnapshot(({ presence }) => presence.get(account));
}
function useConnection() {
  return useSnapshot(({ connection }) => connection);
}
//# sourceMappingURL=react.js.map
