"""Measures the Rust and the JavaScript client with a long friend list, and prints a table.

Needs `cargo build` for the gateway, `footprint` of rosterd-client and rosterd-ffi in the profile `library`, and `npm ci`
in sdk/js; `make clients-table` sees to all of it."""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path
from statistics import median

from doc import ROOT
from gateway import Gateway

TARGET = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / os.environ.get("PROFILE", "library")
# Smaller numbers try the program; they are no result.
FRIENDS, CHANGES, RUNS = (int(os.environ.get(name, number)) for name, number in [("FRIENDS", 10_000), ("CHANGES", 2_000), ("RUNS", 3)])
PROGRAMS = {
    "Rust": [TARGET / "examples/footprint"],
    "JavaScript in Node": ["node", ROOT / "sdk/js/bench/footprint.js"],
}


def populate(gateway):
    lines = [{"user": {"account": "owner"}}]
    for n in range(FRIENDS):
        card = {"account": f"friend-{n:05}", "nick": f"Friend number {n}", "sign": "A sentence of some length", "custom": '{"color":"#2f8f6b"}'}
        lines += [{"user": card}, {"friendship": ["owner", card["account"]]}]
    for at in range(0, len(lines), 1000):
        body = "\n".join(map(json.dumps, lines[at : at + 1000])).encode()
        urllib.request.urlopen(urllib.request.Request(f"http://{gateway.ops}/v1/import", body, method="POST")).read()


def run(program, gateway, cache, mark, changes):
    process = subprocess.Popen([*program, gateway.url, "owner", cache, mark], stdout=subprocess.PIPE, text=True)
    found = {}
    for line in process.stdout:
        for name, value in re.findall(r"(\w+) ([\d.]+)", line):
            found[name] = float(value)
        if line.startswith("live"):
            for n in range(changes):
                sign = f"{mark} last" if n == changes - 1 else f"{mark} {n}"
                gateway.backend("PATCH", f"/v1/users/friend-{n % FRIENDS:05}", sign=sign)
    assert process.wait(60) == 0
    return found


def measure(program, gateway, folder):
    cache, runs = str(Path(folder, "cache")), []
    run(program, gateway, cache, "first", 1)
    for at in range(RUNS):
        # The first delta: what changed while nobody looked.
        for n in range(min(100, FRIENDS)):
            gateway.backend("PATCH", f"/v1/users/friend-{n:05}", nick=f"Renamed {time.monotonic()}")
        runs.append(run(program, gateway, cache, f"run {at}", CHANGES))
    return {name: median(run[name] for run in runs) for name in runs[0]}


def stripped():
    with tempfile.TemporaryDirectory() as folder:
        copy = shutil.copy(TARGET / "librosterd_ffi.so", folder)
        subprocess.run(["strip", copy], check=True)
        return os.path.getsize(copy)


def main():
    sys.stdout.reconfigure(line_buffering=True)
    print(f"| {FRIENDS} friends, median of {RUNS} | cached list | live, with 100 changes | memory held | processor per change |")
    print("|---|--:|--:|--:|--:|")
    for name, program in PROGRAMS.items():
        # A gateway of its own for each, so that the stores are alike.
        with Gateway(log_level="error") as gateway, tempfile.TemporaryDirectory() as folder:
            populate(gateway)
            found = measure(program, gateway, folder)
            each = found["processor"] * 1000 / CHANGES
            print(f"| {name} | {found['cached']:.0f} ms | {found['live']:.0f} ms | {found['memory'] / 1024:.0f} MB | {each:.0f} µs |")
    print(f"\nThe stripped library with cache and TLS is {stripped() / 1e6:.2f} MB.")


main()
