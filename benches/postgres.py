#!/usr/bin/env python3
"""A gateway on PostgreSQL beside one on SQLite: python3 benches/postgres.py [target/dist/rosterd [ROUNDS]]

Starts Debian's PostgreSQL in a temporary directory, as the user postgres if this is root, and measures writes and logins on
both stores in turns, on this machine: gateway, database and load generator share its cores."""

import contextlib
import json
import os
import pwd
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

binary, rounds = (sys.argv[1:] + ["target/dist/rosterd", "3"][len(sys.argv) - 1:])[:2]
binary = str(Path(binary).resolve())
programs = max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name
SHOWN = ("updates_per_second", "logins_per_second", "p50_us", "p99_us")


def server(program, *arguments):
    subprocess.run([programs / program, *arguments], check=True, user=user, cwd="/", stdout=subprocess.DEVNULL)


@contextlib.contextmanager
def database():
    with tempfile.TemporaryDirectory() as folder, socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
        free.close()
        os.chmod(folder, 0o777)
        data = f"{folder}/data"
        server("initdb", "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8")
        options = f"-p {port} -c listen_addresses=127.0.0.1 -c unix_socket_directories={folder}"
        server("pg_ctl", "-D", data, "-l", f"{folder}/log", "-o", options, "-w", "start")
        try:
            yield f"postgres://postgres@127.0.0.1:{port}/postgres"
        finally:
            server("pg_ctl", "-D", data, "-m", "fast", "stop")


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
    for _ in range(int(rounds)):
        measure("sqlite", [])
        measure("postgres", ["--set", f"store.url={url}"])
