"use client";

// src/react.ts
import { createContext, createElement, useCallback, useContext, useEffect, useMemo, useRef, useSyncExternalStore } from "react";
var Context = createContext(void 0);
function RosterdProvider({ client, children }) {
  return createElement(Context.Provider, { value: client }, children);
}
function useRosterd() {
  const client = useContext(Context);
  if (!client) throw new Error("there is no <RosterdProvider client={…}> above this component");
  return client;
}
function useSnapshot(select) {
  const client = useRosterd();
  const subscribe = useCallback((changed) => client.on("change", changed), [client]);
  const read = () => select(client.snapshot);
  return useSyncExternalStore(subscribe, read, read);
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
  const known = useRef(/* @__PURE__ */ new Map());
  const views = useMemo(() => {
    const next = /* @__PURE__ */ new Map();
    for (const [account, friend] of friends) {
      const [user, here, before2] = [users.get(account), presence.get(account), known.current.get(account)];
      const same = before2 && before2.friend === friend && before2.user === user && before2.presence === here;
      next.set(account, same ? before2 : { account, friend, user, presence: here, name: friend.alias || user?.nick || account });
    }
    return next;
  }, [friends, users, presence]);
  useEffect(() => void (known.current = views), [views]);
  const before = useRef([]);
  const list = useMemo(() => {
    const rest = new Map(views);
    const inOrder = (sort === byName ? before.current : []).filter(({ account }) => rest.delete(account));
    const list2 = [...inOrder.map(({ account }) => views.get(account)), ...rest.values()];
    return (filter ? list2.filter(filter) : list2).sort(sort);
  }, [views, sort, filter]);
  useEffect(() => void (before.current = list), [list]);
  return list;
}
function useUser(account) {
  const client = useRosterd();
  useEffect(() => client.hold([account]), [client, account]);
  return useSnapshot(({ me, users }) => me?.account === account ? me : users.get(account));
}
function useRequests(direction) {
  const requests = useSnapshot(({ requests: requests2 }) => requests2);
  return useMemo(() => direction ? requests.filter((request) => request.direction === direction) : requests, [requests, direction]);
}
function usePresence(account) {
  return useSnapshot(({ presence }) => presence.get(account));
}
function useConnection() {
  return useSnapshot(({ connection }) => connection);
}
export {
  RosterdProvider,
  useConnection,
  useFriends,
  useMe,
  usePresence,
  useRequests,
  useRosterd,
  useSnapshot,
  useUser
};
//# sourceMappingURL=react.js.map
