#!/usr/bin/env python3
"""A search index over nicks that follows a gateway: python3 search-index.py http://127.0.0.1:7679 index.db [KEY]

It keeps its position in the index's own transaction, so it can be ended at any moment and goes on where it was."""

import json
import sqlite3
import sys
import urllib.error
import urllib.request

gateway, file, key = sys.argv[1], sys.argv[2], (sys.argv[3:] or [""])[0]
index = sqlite3.connect(file)
index.execute("CREATE TABLE IF NOT EXISTS user (account TEXT PRIMARY KEY, nick TEXT, version INTEGER)")
index.execute("CREATE TABLE IF NOT EXISTS place (id INTEGER PRIMARY KEY, position TEXT)")


def lines(path):
    request = urllib.request.Request(gateway + path, headers={"Authorization": f"Bearer {key}"} if key else {})
    with urllib.request.urlopen(request, timeout=90) as answer:
        yield from map(json.loads, answer)


def keep(user):
    values = (user["account"], user["nick"], user["version"])
    index.execute("INSERT INTO user VALUES (?, ?, ?) ON CONFLICT (account) DO UPDATE SET nick = excluded.nick, "
                  "version = excluded.version WHERE excluded.version > version", values)


def snapshot():
    index.execute("DELETE FROM user")
    for line in lines("/v1/snapshot?fields=nick"):
        if "user" in line:
            keep(line["user"])
        position = line["snapshot"]["position"] if "snapshot" in line else position
    if "end" not in line:
        raise OSError("the snapshot broke off")
    return position


def follow(position):
    for line in lines(f"/v1/feed?after={position}&wait=30&limit=5000&types=user.*&fields=nick"):
        if line.get("type") == "user.deleted":
            index.execute("DELETE FROM user WHERE account = ?", [line["subject"]])
        elif "data" in line:
            keep(line["data"]["user"])
    return line["position"]


while True:
    with index:
        place = index.execute("SELECT position FROM place").fetchone()
        try:
            position = follow(place[0]) if place else snapshot()
        except urllib.error.HTTPError as error:
            if error.code != 410:
                raise
            # The gateway does not keep what was missed any more.
            position = snapshot()
        index.execute("INSERT OR REPLACE INTO place VALUES (1, ?)", [position])
