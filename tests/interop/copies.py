"""Copies of the store that backends keep with a snapshot and the feed: equal to it in the end, whatever happened.

Random writers write; the copies follow with filters, page by page or as server-sent events; they are restarted, with what
they had stored; the gateway is killed; and the change log is pruned while they are away."""

import itertools
import json
import random
import string
import threading
import time
import urllib.error
import urllib.request

from search_index import KEY, until

ACCOUNTS = [f"user{number}" for number in range(12)]
FIELDS = "nick,avatar,sign,gender,custom,email,birth,tel,message,alias,note"
ROUNDS = 6
STEPS = 100
# The keys of a record, by its kind.
KEYS = {"user": ("account",), "friend": ("owner", "peer"), "request": ("sender", "receiver"), "block": ("owner", "peer")}


class Writer(threading.Thread):
    """Writes whatever comes to its mind until it is told to end. Much is refused; a gateway that is away is asked again."""

    def __init__(self, gateway, number):
        super().__init__(daemon=True)
        self.gateway, self.random, self.ended, self.writes = gateway, random.Random(number), threading.Event(), 0

    def run(self):
        while not self.ended.is_set():
            try:
                self.write(*self.random.sample(ACCOUNTS, 2))
                self.writes += 1
            except urllib.error.HTTPError as error:
                assert error.code < 500 or error.code == 503, error
            except OSError:
                time.sleep(0.05)

    def write(self, a, b):
        backend, text = self.gateway.backend, f"{self.random.random()}"
        user = lambda **fields: backend("PATCH", f"/v1/users/{a}", **fields)
        writes = [
            lambda: backend("PUT", f"/v1/users/{a}", nick=text, custom=text * 40),
            lambda: user(sign=text, custom=text * 40),
            lambda: user(email=f"{text}@x.example", birth="1990-05-04"),
            lambda: backend("PUT", f"/v1/users/{a}/friends/{b}"),
            lambda: backend("PATCH", f"/v1/users/{a}/friends/{b}", alias=text),
            lambda: backend("PATCH", f"/v1/users/{a}/friends/{b}", custom=text * 20),
            lambda: backend("DELETE", f"/v1/users/{a}/friends/{b}"),
            lambda: backend("PUT", f"/v1/users/{a}/requests/{b}", message=text),
            lambda: backend("POST", f"/v1/users/{b}/requests/{a}/accept"),
            lambda: backend("POST", f"/v1/users/{b}/requests/{a}/reject"),
            lambda: backend("DELETE", f"/v1/users/{a}/requests/{b}"),
            lambda: backend("PUT", f"/v1/users/{a}/blocks/{b}"),
            lambda: backend("DELETE", f"/v1/users/{a}/blocks/{b}"),
        ]
        if self.random.random() < 0.03:
            backend("DELETE", f"/v1/users/{a}")
        else:
            self.random.choice(writes)()


def lines(gateway, path, **headers):
    headers["Authorization"] = f"Bearer {KEY}"
    request = urllib.request.Request(f"http://{gateway.ops}{path}", headers=headers)
    with urllib.request.urlopen(request, timeout=30) as answer:
        yield from answer


class Copy:
    """The records of some kinds, as a backend keeps them that asks for the events of these alone."""

    def __init__(self, gateway, kinds, seed):
        self.gateway, self.kinds, self.random = gateway, kinds, random.Random(seed)
        # The end of an account is the end of all that it has with others.
        self.types = ",".join(sorted({f"{kind}.*" for kind in kinds} | {"user.deleted"}))
        self.records, self.position, self.stored = {}, None, ({}, None)
        self.restarts = self.snapshots = self.events = 0

    def keep(self, kind, record, gone=False):
        key = (kind, *(record[name] for name in KEYS[kind]))
        version, held = self.records.get(key, (0, None))
        if record["version"] > version:
            # A new friendship has no notes, and its event neither.
            held = held or ({"alias": "", "custom": ""} if kind == "friend" else {})
            self.records[key] = (record["version"], None if gone else held | record)

    def apply(self, event):
        self.events += 1
        (kind, what), data = event["type"].split("."), event["data"]
        if event["type"] == "user.deleted":
            gone = lambda key: data["account"] in key[1:]
            for key, (version, _) in self.records.items():
                if gone(key) and version < data["version"]:
                    self.records[key] = (data["version"], None)
        elif kind in self.kinds:
            for record in data.get("edges") or [data.get("edge") or data[kind]]:
                self.keep(kind, record, gone=what not in ("created", "added", "updated"))

    def snapshot(self):
        """Reads a snapshot, which may break off; it goes on after the last record then."""
        self.records, self.position, query, end = {}, None, "", False
        self.snapshots += 1
        while not end:
            broken = self.random.randrange(1, 40)
            for line in itertools.islice(lines(self.gateway, f"/v1/snapshot?fields={FIELDS}{query}"), broken):
                ((kind, record),) = json.loads(line).items()
                if kind == "snapshot":
                    self.position = self.position or record["position"]
                elif kind == "end":
                    end = True
                else:
                    after = ":".join([kind, *(record[name] for name in KEYS[kind])])
                    query = f"&after={after}&position={self.position}"
                    if kind in self.kinds:
                                self.keep(kind, record)

    def page(self):
        """Reads some events: a page of them, or server-sent ones as far as there are any."""
        path = f"/v1/feed?fields={FIELDS}&types={self.types}"
        if self.random.random() < 0.5:
            for line in lines(self.gateway, f"{path}&after={self.position}&limit={self.random.randrange(1, 200)}"):
                line = json.loads(line)
                if "type" in line:
                    self.apply(line)
                else:
                    self.position = line["position"]
            return
        event = {}
        for line in lines(self.gateway, path, Accept="text/event-stream", **{"Last-Event-ID": self.position}):
            name, _, value = line.decode().rstrip("\n").partition(": ")
            event |= {name: value}
            if name:
                continue
            self.position = event["id"]
            if event["event"] == "position":
                return
            assert event["event"] != "error", event
            self.apply(json.loads(event["data"]))
            # Wherever it is cut off, also between two events of one change.
            if self.random.random() < 0.02:
                return

    def step(self):
        """Reads on, and stores what it has; or ends before that, and begins anew with what it had stored."""
        try:
            self.page() if self.position else self.snapshot()
        except urllib.error.HTTPError as error:
            if error.code != 410:
                raise
            self.position = None
            return
        if self.random.random() < 0.2:
            self.restarts += 1
            # What it did not store is lost; or only that it is further on is lost.
            records = self.records if self.random.random() < 0.5 and self.stored[1] else dict(self.stored[0])
            self.records, self.position = records, self.stored[1]
        else:
            self.stored = (dict(self.records), self.position)

    def live(self):
        return {key: {"version": version, **record} for key, (version, record) in self.records.items() if record}


def head(gateway):
    return json.loads(next(lines(gateway, "/v1/feed?after=now")))["position"]


def events(gateway, query):
    found, position = [], ""
    while True:
        *some, last = map(json.loads, lines(gateway, f"/v1/feed?limit=1000{query}{position and '&after=' + position}"))
        found, position = found + some, last["position"]
        if not some:
            return found


def about(event):
    """The accounts that an event is about."""
    records = [record for record in event["data"].values() if isinstance(record, dict)]
    others = {record.get("peer", record.get("receiver")) for record in records}
    return {event["subject"], *event["data"].get("accounts", ()), *others}


def filters(gateway):
    """What a filter leaves of the log is what one would take out of all events oneself."""
    everything, chance = events(gateway, ""), random.Random(5)
    types = sorted({event["type"] for event in everything})
    for _ in range(30):
        asked = chance.sample(types, chance.randrange(1, 5))
        account = chance.choice([None, *ACCOUNTS])
        query = f"&types={','.join(asked)}" + (f"&account={account}" if account else "")
        wanted = [event for event in everything if event["type"] in asked and (account is None or account in about(event))]
        assert events(gateway, query) == wanted, query
    return len(everything), len(types)


def overflow(gateway):
    """Writes more than the log may hold, in texts that are hard to compress. It is cut at a start, and now and then."""
    for _ in range(120):
        text = lambda: "".join(random.choices(string.ascii_letters + string.digits, k=1000))
        users = [{"account": account, "create": True, "custom": text()} for account in ACCOUNTS]
        gateway.backend("POST", "/v1/users:batchUpdate", users=users)
    gateway.kill()
    gateway.start()


def expired(gateway, position):
    try:
        next(lines(gateway, f"/v1/feed?limit=1&after={position}"))
    except urllib.error.HTTPError as error:
        assert error.code == 410, error
        return True
    time.sleep(0.1)
    return False


def main(gateway):
    for account in ACCOUNTS:
        gateway.backend("PUT", f"/v1/users/{account}", nick=account)
    writers = [Writer(gateway, number) for number in range(3)]
    kinds = [("user",), ("friend",), ("request", "block"), ("user", "friend", "request", "block")]
    copies = [Copy(gateway, kinds, seed) for seed, kinds in enumerate(kinds)]
    for writer in writers:
        writer.start()
    for number in range(ROUNDS):
        for copy in copies:
            for _ in range(STEPS):
                copy.step()
        if number % 2 == 0:
            gateway.kill()
            gateway.start()
        if number == 3:
            # They are away until what they would need is dropped.
            overflow(gateway)
            until(lambda: all(expired(gateway, copy.position) for copy in copies if copy.position), "the log is not pruned")
    for writer in writers:
        writer.ended.set()
        writer.join()
    newest = head(gateway)
    for copy in copies:
        while copy.position != newest or copy.stored[1] != newest:
            copy.step()
    store = Copy(gateway, kinds[-1], 0)
    store.snapshot()
    for copy in copies:
        wanted = {key: record for key, record in store.live().items() if key[0] in copy.kinds}
        held = copy.live()
        differ = [key for key in held.keys() | wanted.keys() if held.get(key) != wanted.get(key)]
        assert not differ, (copy.kinds, [(held.get(key), wanted.get(key)) for key in differ])
        assert copy.snapshots > 1 and copy.restarts, (copy.snapshots, copy.restarts)
    total, types = filters(gateway)
    print(
        f"  copies: {len(store.live())} records, equal after {sum(writer.writes for writer in writers)} writes, "
        f"{sum(copy.events for copy in copies)} events, {sum(copy.restarts for copy in copies)} restarts "
        f"and {sum(copy.snapshots for copy in copies)} snapshots; filters: 30, over {total} events of {types} types"
    )
