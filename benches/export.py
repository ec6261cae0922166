#!/usr/bin/env python3
"""How long an export takes, and what writes notice of it: python3 benches/export.py [target/dist/rosterd [USERS [PAIRS]]]

A store of its own is filled by an import, with two friends for each user. Then a gateway is exported once alone; and in PAIRS
pairs of spans, one with an export under way and one without, in turn, profiles are written at a steady rate. A checkpoint
of the store delays a few writes every few seconds, so that the p99 of one span says how many of them fell into it; all
spans of a kind together say more. Only the standard library is needed."""

import http.client
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

binary, users, pairs = (sys.argv[1:] + ["target/dist/rosterd", "1000000", "9"][len(sys.argv) - 1:])[:3]
users, pairs, key = int(users), int(pairs), "a-key-that-only-benchmarks-use"
RATE = 200  # writes a second


def name(n):
    return f"user{n % users:07}"


def lines():
    for n in range(users):
        yield {"user": {"account": name(n), "nick": f"User {n}", "sign": "x" * 60, "custom": "y" * 60}}
    for n in range(users):
        yield {"friendship": [name(n), name(n + 1)]}


def run(*arguments):
    """Runs a subcommand to its end; the seconds that it took, and the most MiB that it held."""
    begun = time.perf_counter()
    process = subprocess.Popen([binary, *map(str, arguments), "--config", config], stdout=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{arguments[0]} failed")
    took = time.perf_counter() - begun
    return took, f"{took:.1f} s, holding {used.ru_maxrss / 1024:.0f} MiB"


def write(seconds, waits, first):
    """Writes profiles, one after the other, each when it is due. A write waits from when it is due."""
    connection = http.client.HTTPConnection(ops)
    begun = time.perf_counter()
    for turn in range(int(seconds * RATE)):
        due = begun + turn / RATE
        time.sleep(max(0, due - time.perf_counter()))
        body = json.dumps({"sign": f"{first}-{turn}"})
        account = name((first * 7919 + turn) * 104_729)
        connection.request("PATCH", f"/v1/users/{account}", body, {"Authorization": f"Bearer {key}"})
        answer = connection.getresponse()
        answer.read()
        if answer.status != 200:
            sys.exit(f"a write was answered {answer.status}")
        waits.append(time.perf_counter() - due)


def span(number, exporting, seconds):
    """How long the writes of a span waited, and how many exports ended in it."""
    over, ended = threading.Event(), [0]

    def export():
        while not over.is_set():
            target = folder / f"{number}-{ended[0]}.ndjson"
            process = subprocess.Popen([binary, "export", target, "--config", config], stdout=subprocess.DEVNULL)
            while process.poll() is None and not over.is_set():
                time.sleep(0.05)
            process.kill()
            ended[0] += process.wait() == 0

    thread = threading.Thread(target=export)
    if exporting:
        thread.start()
        time.sleep(0.3)
    waits = []
    write(seconds, waits, number)
    over.set()
    if exporting:
        thread.join()
        for file in folder.glob(f"{number}-*.ndjson"):
            file.unlink()
    return waits, ended[0]


def cuts(waits):
    """The p50 and p99 of waits, in milliseconds."""
    found = statistics.quantiles(waits, n=100)
    return found[49] * 1e3, found[98] * 1e3


with tempfile.TemporaryDirectory(prefix="rosterd-export-") as place:
    folder = Path(place)
    config = folder / "config.toml"
    port = 20_000 + os.getpid() % 10_000
    ops = f"127.0.0.1:{port}"
    config.write_text(f"""
[clients]
listen = "127.0.0.1:0"
[ops]
listen = "{ops}"
api_key = "{key}"
[auth]
mode = "development"
[log]
level = "error"
[store]
url = "sqlite:{folder}/rosterd.db"
""")
    source = folder / "users.ndjson"
    with source.open("w") as file:
        file.writelines(json.dumps(line) + "\n" for line in lines())
    print(f"{users:,} users imported into the store in {run('import', source)[1]}")
    source.unlink()
    print(f"exported straight from it in {run('export', folder / 'offline.ndjson')[1]}")
    (folder / "offline.ndjson").unlink()
    gateway = subprocess.Popen([binary, "serve", "--config", config], stdout=subprocess.PIPE, text=True)
    try:
        next(found for line in gateway.stdout if (found := re.search(r"ops +http://([\d.:]+)", line)))
        whole = folder / "export.ndjson"
        seconds, took = run("export", whole)
        size = whole.stat().st_size / 1e6
        print(f"exported through a gateway in {took}: {size:,.0f} MB")
        write(1, [], 0)
        ratios, all_waits = [], {True: [], False: []}
        for pair in range(pairs):
            # In turn, so that what else the machine does meets both.
            order = [True, False] if pair % 2 else [False, True]
            # An export ends in each span: beside writes it takes twice as long, as it is brought to one moment.
            found = {exporting: span(2 * pair + exporting + 1, exporting, 2.2 * seconds + 1) for exporting in order}
            for exporting, (waits, _) in found.items():
                all_waits[exporting] += waits
            (p50, p99), (alone50, alone99) = cuts(found[True][0]), cuts(found[False][0])
            ratios.append(p99 / alone99)
            print(f"writes with an export under way: p50 {p50:.2f} ms, p99 {p99:.2f} ms ({found[True][1]} ended);"
                  f" without: p50 {alone50:.2f} ms, p99 {alone99:.2f} ms", flush=True)
        if ratios:
            (p50, p99), (alone50, alone99) = cuts(all_waits[True]), cuts(all_waits[False])
            print(f"all {len(all_waits[True]):,} writes: p50 {p50:.2f} ms, p99 {p99:.2f} ms; without: p50 {alone50:.2f} ms,"
                  f" p99 {alone99:.2f} ms; p99 with an export / without: {p99 / alone99:.2f}, of single pairs"
                  f" {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")
    finally:
        gateway.terminate()
        gateway.wait()
