#!/usr/bin/env python3
"""A gateway on PostgreSQL beside one on SQLite: python3 benches/postgres.py [target/dist/rosterd [ROUNDS]]

Starts Debian's PostgreSQL in a temporary directory, as the user postgres if this is root, and measures writes and logins on
both stores in turns, on this machine: gateway, database and load generator share its cores."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from postgres_server import database

binary, rounds = (sys.argv[1:] + ["target/dist/rosterd", "3"][len(sys.argv) - 1:])[:2]
binary = str(Path(binary).resolve())
SHOWN = ("updates_per_second", "logins_per_second", "p50_us", "p99_us")


def measure(name, settings):
    with tempfile.TemporaryDirectory() as folder:
        serve = [binary, "serve", "--set", "auth.mode=development", "--set", "log.level=error", *settings]
        gateway = subprocess.Popen(serve, cwd=folder, stdout=subprocess.PIPE, text=True)
        try:
            # It says how tokens are checked once it is ready.
            next(line for line in gateway.stdout if "tokens" in line)
            for scenario in (["write", "--seconds", "4"], ["login"]):
                bench = [binary, "bench", *scenario, "--json"]
                made = subprocess.run(bench, cwd=folder, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
                for row in json.loads(made.stdout)["rows"]:
                    figures = ", ".join(f"{key} {row[key]:,.0f}" for key in SHOWN if key in row)
                    print(f"{name:10}{scenario[0]}, {row['work']}: {figures}", flush=True)
        finally:
            gateway.terminate()
            gateway.wait()


with database() as url:
    for number in range(int(rounds)):
        measure("sqlite", [])
        measure("postgres", ["--set", f"store.url={url(number)}"])
