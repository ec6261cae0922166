#!/usr/bin/env python3
"""What an endpoint that hangs costs those who write and those who listen:

    python3 benches/webhook-hang.py [target/dist/rosterd [PAIRS [WRITES_A_SECOND]]]

Pairs of runs, one gateway with an endpoint that takes requests and never answers, and one without an endpoint, in turns.
Only the standard library is needed. Percentiles of writes and of commit to socket are those of the gateway's histograms,
with a straight line within a bucket; those of update to friend are exact."""

import base64
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import urllib.request
from pathlib import Path

binary, pairs, rate = (sys.argv[1:] + ["target/dist/rosterd", "9", "5000"][len(sys.argv) - 1:])[:3]
pairs, rate, key = int(pairs), int(rate), "a-key-that-only-benchmarks-use"
FIGURES = ["write p50", "write p99", "commit to socket p50", "commit to socket p99", "update to friend p50", "update to friend p99"]


held = []


def hang(listener):
    """Takes every request and answers none."""
    while True:
        held.append(listener.accept()[0])


def percentile(metrics, name, share):
    """The time under which a share of the observations is, in milliseconds."""
    buckets = re.findall(rf'^{name}_bucket{{le="([^"]+)"[^}}]*}} (\d+)', metrics, re.M)
    buckets = [(float(bound), int(count)) for bound, count in buckets if bound != "+Inf"]
    wanted, low, before = share * buckets[-1][1], 0.0, 0
    for bound, count in buckets:
        if count >= wanted:
            return 1000 * (low + (bound - low) * (wanted - before) / max(1, count - before))
        low, before = bound, count
    return 1000 * low


def measure(endpoint):
    with tempfile.TemporaryDirectory(prefix="rosterd-hang-") as folder:
        config = Path(folder) / "config.toml"
        config.write_text(f"""
[clients]
listen = "127.0.0.1:0"
[ops]
listen = "127.0.0.1:0"
api_key = "{key}"
[auth]
mode = "development"
[log]
level = "error"
[store]
url = "sqlite:{folder}/rosterd.db"
{endpoint}""")
        before = len(held)
        gateway = subprocess.Popen([binary, "serve", "--config", config], stdout=subprocess.PIPE, text=True)
        try:
            lines = iter(gateway.stdout.readline, "")
            clients, ops = (next(m[1] for line in lines if (m := re.search(rf"{word} +(\S+)", line))) for word in ("clients", "ops"))
            bench = [binary, "bench", "fanout", "--config", config, "--url", clients, "--ops", ops, "--users", "1000",
                     "--friends", "4", "--rate", str(rate), "--seconds", "8", "--json"]
            row = json.loads(subprocess.run(bench, stdout=subprocess.PIPE, check=True).stdout)["rows"][0]
            request = urllib.request.Request(f"{ops}/metrics", headers={"Authorization": f"Bearer {key}"})
            metrics = urllib.request.urlopen(request, timeout=60).read().decode()
            assert bool(endpoint) == (len(held) > before) and 'result="delivered"' not in metrics, "the endpoint does not hang"
            write, deliver = "rosterd_command_duration_seconds", "rosterd_delivery_duration_seconds"
            return [percentile(metrics, write, 0.5), percentile(metrics, write, 0.99), percentile(metrics, deliver, 0.5),
                    percentile(metrics, deliver, 0.99), row["p50_us"] / 1000, row["p99_us"] / 1000, row["updates"]]
        finally:
            gateway.terminate()
            gateway.wait()


listener = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=hang, args=(listener,), daemon=True).start()
hung = f"""[webhooks.hung]
url = "http://127.0.0.1:{listener.getsockname()[1]}/"
secret = "whsec_{base64.b64encode(os.urandom(32)).decode()}"
"""
ratios = []
for pair in range(pairs):
    found = {}
    # Which one comes first changes, so that a machine that gets slower favours neither.
    for endpoint in (["", hung] if pair % 2 else [hung, ""]):
        found[endpoint] = measure(endpoint)
    ratios.append([with_it / without for with_it, without in zip(found[hung], found[""])])
    shown = (f"{name} {found[''][n]:.2f} -> {found[hung][n]:.2f}" for n, name in enumerate(FIGURES))
    print(f"pair {pair + 1}, {found[''][-1]:,.0f} and {found[hung][-1]:,.0f} updates, ms: {', '.join(shown)}", flush=True)
for n, name in enumerate(FIGURES):
    some = sorted(ratio[n] for ratio in ratios)
    print(f"{name}: {statistics.median(some):.3f} x without an endpoint (median of {pairs} pairs, {some[0]:.3f} to {some[-1]:.3f})")
