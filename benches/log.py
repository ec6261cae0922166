#!/usr/bin/env python3
"""What the change log costs writes: python3 benches/log.py [target/dist/rosterd [ROUNDS]]

Two gateways of one binary, one of them without a log, are measured in turns by `rosterd bench write`, a second each; the
gateways have one core and the load generator the other, as in `make bench`. ROSTERD_FREE=1 lets all of them have both."""

import json
import os
import random
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

binary, rounds = (sys.argv[1:] + ["target/dist/rosterd", "30"][len(sys.argv) - 1:])[:2]
binary = str(Path(binary).resolve())
cores = sorted(os.sched_getaffinity(0))
pinned = len(cores) > 1 and "ROSTERD_FREE" not in os.environ
SHOWN = {"updates_per_second": "updates a second", "server_us_per_update": "CPU of an update, us", "p50_us": "p50, us"}


def start(arguments, core, folder):
    """Starts the binary on a core."""
    pin = (lambda: os.sched_setaffinity(0, {cores[core]})) if pinned else None
    return subprocess.Popen([binary, *arguments], cwd=folder, stdout=subprocess.PIPE, text=True, preexec_fn=pin)


def gateway(folder, retention):
    settings = ["auth.mode=development", "log.level=error", "clients.listen=127.0.0.1:0", "ops.listen=127.0.0.1:0"]
    settings.append(f"feed.retention={retention}")
    process = start(["serve", *(word for setting in settings for word in ("--set", setting))], 0, folder)
    addresses = {}
    for line in process.stdout:
        for scheme, address in re.findall(r"(ws|ops +http)://([\d.:]+)", line):
            addresses[scheme.split()[0]] = address
        if len(addresses) == 2:
            return process, addresses
    sys.exit("the gateway did not start")


def measure(addresses, folder):
    target = ["--url", f"ws://{addresses['ws']}/v1/ws", "--ops", f"http://{addresses['ops']}"]
    made, _ = start(["bench", "write", "--seconds", "1", "--keep", "--json", *target], 1, folder).communicate()
    return {(row["work"], key): row[key] for row in json.loads(made)["rows"] for key in SHOWN}


def interval(ratios):
    """The middle 95 % of the medians of samples drawn from the ratios."""
    medians = sorted(statistics.median(random.choices(ratios, k=len(ratios))) for _ in range(4000))
    return medians[100], medians[-100]


with tempfile.TemporaryDirectory() as without, tempfile.TemporaryDirectory() as with_log:
    folders = without, with_log
    sides = [gateway(without, "0s"), gateway(with_log, "7d")]
    try:
        found = []
        for turn in range(int(rounds)):
            pair = [None, None]
            # The second of one pair is the first of the next, so that what else the machine does meets both.
            for side in (0, 1) if turn % 2 else (1, 0):
                pair[side] = measure(sides[side][1], folders[side])
            found.append(pair)
            print(f"\rround {turn + 1} of {rounds}", end="", file=sys.stderr, flush=True)
        print(file=sys.stderr)
    finally:
        for process, _ in sides:
            process.terminate()
            process.wait()
for work, key in found[0][0]:
    before, after = ([pair[side][work, key] for pair in found] for side in (0, 1))
    ratios = [b / a for a, b in zip(before, after)]
    low, high = interval(ratios)
    print(f"{work}, {SHOWN[key]}: {statistics.median(before):,.1f} without, {statistics.median(after):,.1f} with;"
          f" ratio {statistics.median(ratios):.3f} (95 %: {low:.3f} to {high:.3f})")
