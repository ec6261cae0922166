#!/usr/bin/env python3
"""What a slow hook costs those who do not wait for it: python3 benches/hook.py [target/dist/rosterd [ROUNDS [COMMANDS]]]

Two gateways, one with a hook that answers after a second and one without, in turns. On each, 20 sessions change their nick
once a second, which on the first gateway is asked about; a friend of theirs changes as well, and the changes are pushed to
them. 1,000 other sessions change their sign, 400 times a second in all (COMMANDS), which is not asked about. Only the standard
library is needed."""

import asyncio
import base64
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

binary, rounds, rate = (sys.argv[1:] + ["target/dist/rosterd", "9", "400"][len(sys.argv) - 1:])[:3]
ASKED, OTHERS, RATE, SECONDS, DELAY = 20, 1000, int(rate), 5, 1.0
KEY = "a-key-that-only-benchmarks-use"


class Session:
    """One logged-in client, by hand: a thousand of them must cost less than what is measured."""

    async def start(self, address, account):
        self.reader, self.writer = await asyncio.open_connection(*address.split(":"))
        self.writer.write((
            f"GET /v1/ws HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Protocol: rosterd.v1.json\r\n\r\n"
        ).encode())
        await self.reader.readuntil(b"\r\n\r\n")
        self.waiting, self.next, self.on_user, self.synced = {}, 0, None, asyncio.Event()
        self.task = asyncio.create_task(self.read())
        await self.ask(login={"token": account})
        await self.synced.wait()
        return self

    def send(self, frame):
        body = json.dumps(frame).encode()
        size = bytes([128 | len(body)]) if len(body) < 126 else bytes([254]) + len(body).to_bytes(2)
        self.writer.write(b"\x81" + size + bytes(4) + body)  # Masked with zeros, which is a mask.

    async def ask(self, **command):
        self.next += 1
        self.waiting[self.next] = answer = asyncio.get_running_loop().create_future()
        self.send({"id": self.next, **command})
        return await answer

    async def read(self):
        while head := await self.reader.readexactly(2):
            size = head[1]
            if size >= 126:
                size = int.from_bytes(await self.reader.readexactly(2 if size == 126 else 8))
            frame = json.loads(await self.reader.readexactly(size))
            if not frame:
                self.send({})
            elif waiting := self.waiting.pop(frame.get("id"), None):
                waiting.set_result(frame)
            elif "synced" in frame:
                self.synced.set()
            elif self.on_user:
                for user in frame.get("changes", {}).get("users", []):
                    self.on_user(user)


class Api:
    """The server API over one connection."""

    async def start(self, address):
        self.reader, self.writer = await asyncio.open_connection(*address.split(":"))
        return self

    async def call(self, method, path, body):
        head = f"{method} {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {KEY}\r\nContent-Length: {len(body)}\r\n\r\n"
        self.writer.write(head.encode() + body)
        answer = (await self.reader.readuntil(b"\r\n\r\n")).decode().lower()
        await self.reader.readexactly(int(re.search(r"content-length: (\d+)", answer)[1]))
        assert " 200 " in answer.split("\n")[0] or " 201 " in answer.split("\n")[0], answer


async def hook(reader, writer):
    """Allows everything, after a second."""
    while head := await reader.readuntil(b"\r\n\r\n"):
        await reader.readexactly(int(re.search(rb"content-length: (\d+)", head.lower())[1]))
        await asyncio.sleep(DELAY)
        writer.write(b'HTTP/1.1 200 OK\r\nContent-Length: 20\r\n\r\n{"decision":"allow"}')


async def quiet(handler, *streams):
    try:
        await handler(*streams)
    except (asyncio.IncompleteReadError, asyncio.CancelledError, ConnectionError):
        pass


class World:
    """A gateway with its sessions."""

    async def start(self, folder, hooks):
        self.has_hook = bool(hooks)
        config = Path(folder) / "config.toml"
        config.write_text(f"""
[clients]
listen = "127.0.0.1:0"
[ops]
listen = "127.0.0.1:0"
api_key = "{KEY}"
[auth]
mode = "development"
[log]
level = "error"
[store]
url = "sqlite:{folder}/rosterd.db"
{hooks}""")
        self.process = subprocess.Popen([binary, "serve", "--config", config], stdout=subprocess.PIPE, text=True)
        self.clients, self.ops = None, None
        while not self.ops:
            if found := re.search(r"(clients|ops) +\w+://([\d.:]+)", self.process.stdout.readline()):
                setattr(self, *found.groups())
        self.api = await Api().start(self.ops)
        accounts = ["friend", *(f"asked{n}" for n in range(ASKED)), *(f"other{n}" for n in range(OTHERS))]
        lines = [json.dumps({"user": {"account": account}}) for account in accounts]
        lines += [json.dumps({"friendship": ["friend", f"asked{n}"]}) for n in range(ASKED)]
        await self.api.call("POST", "/v1/import", "\n".join(lines).encode())
        self.asked = [await Session().start(self.clients, f"asked{n}") for n in range(ASKED)]
        self.others = [await Session().start(self.clients, f"other{n}") for n in range(OTHERS)]
        return self

    async def round(self):
        """Returns the times of pushes to sessions that are asked about, and of other sessions' commands, in ms."""
        pushes, commands, changes, over = [], [], [], time.perf_counter() + SECONDS
        for session in self.asked:
            session.on_user = lambda user: pushes.append((time.perf_counter() - float(user["nick"])) * 1e3)

        async def change(session):
            while time.perf_counter() < over:
                answer = await session.ask(updateMyInfo={"nick": f"{time.perf_counter():.6f}"})
                assert "updateMyInfoReply" in answer, answer
                changes.append(answer)
                if not self.has_hook:  # As many changes as with one, so that the two gateways have the same to do.
                    await asyncio.sleep(DELAY)

        async def command(session):
            begun = time.perf_counter()
            answer = await session.ask(updateMyInfo={"sign": f"{begun:.6f}"})
            commands.append((time.perf_counter() - begun) * 1e3)
            assert "updateMyInfoReply" in answer, answer

        async def others():
            begun, tasks = time.perf_counter(), []
            for n in range(RATE * SECONDS):
                await asyncio.sleep(max(0, begun + n / RATE - time.perf_counter()))
                tasks.append(asyncio.create_task(command(self.others[n % OTHERS])))
            await asyncio.gather(*tasks)

        async def friend():
            while time.perf_counter() < over:
                await self.api.call("PATCH", "/v1/users/friend", json.dumps({"nick": f"{time.perf_counter():.6f}"}).encode())
                await asyncio.sleep(0.02)

        await asyncio.gather(friend(), others(), *map(change, self.asked))
        return pushes, commands, len(changes)


def p99(times):
    return statistics.quantiles(times, n=100)[98]


async def main():
    server = await asyncio.start_server(lambda *streams: quiet(hook, *streams), "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    secret = base64.b64encode(os.urandom(32)).decode()
    settings = f"""
[hooks.profile]
url = "http://127.0.0.1:{port}/"
secret = "whsec_{secret}"
on_failure = "deny"
timeout = "5s"
profile_fields = ["nick"]
"""
    with tempfile.TemporaryDirectory() as one, tempfile.TemporaryDirectory() as other:
        worlds = {}
        try:
            for name, folder, hooks in (("hook", one, settings), ("none", other, "")):
                worlds[name] = await World().start(folder, hooks)
            found = {name: [] for name in worlds}
            for number in range(int(rounds)):
                for name in ("hook", "none") if number % 2 == 0 else ("none", "hook"):
                    found[name].append(await worlds[name].round())
            for name, label in (("hook", "a hook of 1 s"), ("none", "no hook     ")):
                pushes, commands, _ = (sum(part, []) if isinstance(part[0], list) else sum(part) for part in zip(*found[name]))
                print(
                    f"{label}: {len(pushes):,} pushes, median {statistics.median(pushes):.2f} ms, p99 {p99(pushes):.2f} ms; "
                    f"{len(commands):,} commands of others, median {statistics.median(commands):.2f} ms, p99 {p99(commands):.2f} ms"
                )
            pairs = [(p99(hook[1]) / p99(none[1]), p99(hook[0]) / p99(none[0])) for hook, none in zip(found["hook"], found["none"])]
            for at, what in ((0, "commands"), (1, "pushes")):
                ratios = sorted(pair[at] for pair in pairs)
                print(f"p99 of {what}, with over without, by round: median {statistics.median(ratios):.2f}, {ratios[0]:.2f} to {ratios[-1]:.2f}")
            print(f"changes that the hook was asked about: {sum(part[2] for part in found['hook'])}")
        finally:
            for world in worlds.values():
                world.process.kill()


asyncio.run(main())
