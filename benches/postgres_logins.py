#!/usr/bin/env python3
"""Logins with many friends on PostgreSQL beside SQLite: python3 benches/postgres_logins.py [target/dist/rosterd [ROUNDS]]

Forty accounts have the same 100 friends, and ten others the same 10,000. They log in one after the other, in full and with
nothing new: alone, so that the gateway has to read each friend's profile (cold), and while another of them is connected, so
that it has them (warm). Each login is timed from its frame to `synced`, by a client that looks into no frame. Both stores take
turns on this machine, and gateway, database and client share its cores. Only the standard library is needed."""

import json
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from postgres_server import database

binary, rounds = (sys.argv[1:] + ["target/dist/rosterd", "2"][len(sys.argv) - 1:])[:2]
binary = str(Path(binary).resolve())
GROUPS = {100: 40, 10_000: 10}
LOGINS = {100: 400, 10_000: 200}


class Session:
    """A session by hand, up to its `synced`."""

    def __init__(self, address, account, cursor=None):
        host, port = address.split(":")
        self.socket = socket.create_connection((host, int(port)))
        self.file = self.socket.makefile("rb", 1 << 20)
        self.socket.sendall((
            f"GET /v1/ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: rosterd.v1.json\r\n\r\n"
        ).encode())
        while self.file.readline() != b"\r\n":
            pass
        login = {"token": account} | ({"cursor": cursor} if cursor else {})
        body = json.dumps({"id": 1, "login": login}).encode()
        begun = time.perf_counter()
        # Masked with zeros, which is a mask.
        self.socket.sendall(b"\x81" + bytes([254]) + len(body).to_bytes(2, "big") + bytes(4) + body)
        self.reply, frame = None, b""
        while b'"synced"' not in frame:
            frame = self.read()
            self.reply = self.reply or frame
        self.took = time.perf_counter() - begun
        self.cursor, self.sync = json.loads(frame)["synced"]["cursor"], json.loads(self.reply)["loginReply"]["sync"]

    def read(self):
        size = self.file.read(2)[1]
        if size >= 126:
            size = int.from_bytes(self.file.read(2 if size == 126 else 8), "big")
        return self.file.read(size)

    def end(self):
        self.file.close()
        self.socket.close()


def lines():
    for friends, accounts in GROUPS.items():
        names = [f"f{friends}-{number}" for number in range(friends)]
        for name in names:
            yield {"user": {"account": name, "nick": f"Nick of {name}", "sign": "x" * 60, "avatar": "https://example.com/" + name}}
        for number in range(accounts):
            yield {"user": {"account": f"u{friends}-{number}"}}
            for name in names:
                yield {"friendship": [f"u{friends}-{number}", name]}


def sessions(ops):
    """How many sessions the gateway has."""
    with socket.create_connection(ops.split(":")) as asking:
        asking.sendall(f"GET /metrics HTTP/1.1\r\nHost: {ops}\r\nConnection: close\r\n\r\n".encode())
        text = b"".join(iter(lambda: asking.recv(1 << 16), b"")).decode()
    return int(next(line for line in text.splitlines() if line.startswith("rosterd_sessions ")).split()[1])


def logins(clients, ops, friends, warm, current):
    """How long logins took, in seconds."""
    accounts = [f"u{friends}-{number}" for number in range(GROUPS[friends])]
    other = Session(clients, accounts.pop()) if warm else None
    cursors = {}
    if current:
        for account in accounts:
            session = Session(clients, account)
            cursors[account] = session.cursor
            session.end()
    took = []
    for turn in range(LOGINS[friends]):
        while sessions(ops) > warm:
            time.sleep(0.001)
        account = accounts[turn % len(accounts)]
        session = Session(clients, account, cursors.get(account))
        if (session.sync == "full") == current:
            sys.exit(f"{account} was synced otherwise: {session.sync}")
        cursors.update({account: session.cursor} if current else {})
        took.append(session.took)
        session.end()
    if other:
        other.end()
    return took


def measure(settings):
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "users.ndjson"
        with source.open("w") as file:
            file.writelines(json.dumps(line) + "\n" for line in lines())
        settings = ["--set", "auth.mode=development", "--set", "log.level=error", "--set", "clients.listen=127.0.0.1:0",
                    "--set", "ops.listen=127.0.0.1:0", *settings]
        subprocess.run([binary, "import", source, *settings], cwd=folder, check=True, stdout=subprocess.DEVNULL)
        gateway = subprocess.Popen([binary, "serve", *settings], cwd=folder, stdout=subprocess.PIPE, text=True)
        try:
            found = {}
            for line in gateway.stdout:
                words = line.split()
                for name in ("clients", "ops"):
                    if name in words[:1]:
                        found[name] = line.split("//")[1].split()[0].split("/")[0]
                if "tokens" in line:
                    break
            return {
                (friends, warm, current): logins(found["clients"], found["ops"], friends, warm, current)
                for friends in GROUPS for warm in (False, True) for current in (False, True)
            }
        finally:
            gateway.terminate()
            gateway.wait()


with database() as url:
    pooled = {"sqlite": {}, "postgres": {}}
    for number in range(int(rounds)):
        # A database is used once: what an import left is in it.
        for store, settings in (("sqlite", []), ("postgres", ["--set", f"store.url={url(number)}"])):
            for case, took in measure(settings).items():
                pooled[store].setdefault(case, []).extend(took)
    print("| friends | registry | sync | SQLite, p50 / p99 | PostgreSQL, p50 / p99 | ratio |\n|--:|---|---|---|---|---|")
    for case, alone in pooled["sqlite"].items():
        friends, warm, current = case
        (a50, a99), (p50, p99) = ((statistics.median(took) * 1e3, statistics.quantiles(took, n=100)[98] * 1e3)
                                  for took in (alone, pooled["postgres"][case]))
        print(f"| {friends:,} | {'warm' if warm else 'cold'} | {'nothing new' if current else 'full'} | {a50:.1f} / {a99:.1f} ms"
              f" | {p50:.1f} / {p99:.1f} ms | {p50 / a50:.2f} / {p99 / a99:.2f} × |")
