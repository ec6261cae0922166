"""examples/search-index.py, killed over and over while a backend writes, and the gateway once: equal to the store."""

import json
import random
import sqlite3
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

from doc import ROOT

KILLS = 8
KEY = "a-key-that-only-tests-use"


class Writer(threading.Thread):
    """Writes until it is told to end; a gateway that is away is asked again."""

    def __init__(self, gateway, number):
        super().__init__(daemon=True)
        self.gateway, self.random, self.ended, self.writes = gateway, random.Random(number), threading.Event(), 0

    def run(self):
        while not self.ended.is_set():
            account = f"user{self.random.randrange(200)}"
            try:
                if self.random.random() < 0.1:
                    self.gateway.backend("DELETE", f"/v1/users/{account}")
                else:
                    self.gateway.backend("PUT", f"/v1/users/{account}", nick=f"Nick {self.random.random()}")
                self.writes += 1
            except urllib.error.HTTPError as error:
                assert error.code in (404, 503), error
            except OSError:
                time.sleep(0.05)


def rows(file):
    """What the index holds, as another program sees it."""
    try:
        with sqlite3.connect(f"file:{file}?mode=ro", uri=True) as index:
            return {account: (nick, version) for account, nick, version in index.execute("SELECT * FROM user")}
    except sqlite3.OperationalError:
        return {}


def until(condition, why):
    end = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < end, why
        time.sleep(0.02)


def store(gateway):
    request = urllib.request.Request(f"http://{gateway.ops}/v1/snapshot?fields=nick", headers={"Authorization": f"Bearer {KEY}"})
    with urllib.request.urlopen(request) as answer:
        users = [line["user"] for line in map(json.loads, answer) if "user" in line]
    return {user["account"]: (user["nick"], user["version"]) for user in users}


def main(gateway):
    file = Path(gateway.directory.name) / "index.db"
    start = lambda: subprocess.Popen(
        [sys.executable, ROOT / "examples/search-index.py", f"http://{gateway.ops}", file, KEY], stderr=subprocess.DEVNULL
    )
    writers = [Writer(gateway, number) for number in range(3)]
    for writer in writers:
        writer.start()
    follower, seen = start(), {}
    for number in range(KILLS):
        # In the middle of its work: what it holds has changed since it was started.
        until(lambda: rows(file) != seen, "the index does not move")
        if number == KILLS // 2:
            gateway.kill()
            until(lambda: follower.poll() is not None, "it goes on without a gateway")
            gateway.start()
        follower.kill()
        follower.wait()
        seen = rows(file)
        follower = start()
    for writer in writers:
        writer.ended.set()
        writer.join()
    truth = store(gateway)
    until(lambda: rows(file) == truth, "the index is not what the store holds")
    follower.kill()
    follower.wait()
    writes = sum(writer.writes for writer in writers)
    print(f"  search index: killed {KILLS} times beside {writes} writes, the gateway once; {len(truth)} users, all equal")
