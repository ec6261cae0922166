#!/usr/bin/env python3
"""How fast a gateway gives the feed to one reader: python3 benches/feed.py [http://127.0.0.1:7679 [KEY]]

It reads everything that the change log holds; `rosterd bench write` fills one. Only the standard library is needed."""

import http.client
import json
import sys
import time
import urllib.parse

address = urllib.parse.urlsplit((sys.argv[1:] or ["http://127.0.0.1:7679"])[0])
headers = {"Authorization": f"Bearer {sys.argv[2]}"} if sys.argv[2:] else {}
connection = http.client.HTTPConnection(address.hostname, address.port)
position, events, size, begun = "", 0, 0, time.perf_counter()
while True:
    connection.request("GET", f"/v1/feed?limit=5000{position and '&after=' + position}", headers=headers)
    answer = connection.getresponse()
    body = answer.read()
    if answer.status != 200:
        sys.exit(f"{answer.status} {body.decode()}")
    lines = body.splitlines()
    if len(lines) == 1:
        break
    position, events, size = json.loads(lines[-1])["position"], events + len(lines) - 1, size + len(body)
took = time.perf_counter() - begun
print(f"{events} events of {size // max(events, 1)} bytes in {took:.2f} s: {events / took:,.0f} events/s")
