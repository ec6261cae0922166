"""What is Python's own of this client, against a gateway: cancelling, references, callbacks, errors, the README.

`make python` runs it; `ROSTERD_WHEEL` is the wheel that an empty project installs.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
import venv
from pathlib import Path
from typing import Any, Callable

from rosterd_client import Device, RosterdClient, RosterdError, SignalEvent, SnapshotEvent

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/interop"))

from gateway import Gateway  # noqa: E402


async def until(what: str, done: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.02)


class Checks(unittest.IsolatedAsyncioTestCase):
    gateway: Any

    @classmethod
    def setUpClass(cls) -> None:
        cls.gateway = Gateway()
        cls.gateway.start()

    @classmethod
    def tearDownClass(cls) -> None:
        cls.gateway.stop()

    def sessions(self) -> float:
        with urllib.request.urlopen(f"http://{self.gateway.ops}/metrics") as answer:
            return sum(float(value) for value in re.findall(r"^rosterd_sessions ([\d.]+)$", answer.read().decode(), re.M))

    async def test_async_with_connects_and_disconnects(self) -> None:
        async with RosterdClient(self.gateway.url, "alice", device=Device(tag="kitchen")) as client:
            self.assertEqual(client.snapshot.connection.phase, "live")
            self.assertEqual((await client.get_sessions())[0].device.tag, "kitchen")
            me = await client.update_my_info(nick="Ally", gender="female")
            self.assertEqual((me.nick, me.gender, client.snapshot.me), ("Ally", "female", me))
        self.assertEqual(client.snapshot.connection.phase, "disconnected")
        self.assertIsNotNone(client.snapshot.me, "what is held stays")

    async def test_nobody_has_it_any_more_and_its_connection_ends(self) -> None:
        before = self.sessions()
        client = RosterdClient(self.gateway.url, "alice")
        changes = client.changes()
        await client.connect()
        self.assertEqual(self.sessions(), before + 1)
        del client
        gc.collect()
        await until("the session ends", lambda: self.sessions() == before)
        while True:
            try:
                await asyncio.wait_for(changes.__anext__(), 20)
            except StopAsyncIteration:
                break

    async def test_a_cancelled_call_is_not_sent(self) -> None:
        client = RosterdClient(self.gateway.url, "bob")
        call = asyncio.create_task(client.update_my_info(sign="never sent"))
        await asyncio.sleep(0.05)
        call.cancel()
        with self.assertRaises(asyncio.CancelledError):
            await call
        await client.connect()
        self.assertNotEqual((await client.get_user("bob", fresh=True)).sign, "never sent")
        await client.disconnect()

    async def test_callbacks_that_fail_disturb_nobody(self) -> None:
        answers: list[Any] = [RuntimeError("a bug"), 7, "", "dave"]

        async def get_token(why: str) -> Any:
            answer = answers.pop(0)
            if isinstance(answer, Exception):
                raise answer
            return answer

        client = RosterdClient(self.gateway.url, "dave", get_token=get_token, backoff=(0.01, 0.05))
        await client.connect()
        self.assertEqual((answers, client.snapshot.connection.phase), ([], "live"))
        await client.disconnect()

    async def test_errors_are_of_the_languages_own_kind(self) -> None:
        with self.assertRaises(RosterdError) as raised:
            RosterdClient(self.gateway.url, "")
        self.assertEqual((raised.exception.code, raised.exception.field), (414, "account"))
        with self.assertRaises(ValueError):
            RosterdClient(self.gateway.url, "alice", request_timeout=float("nan"))
        async with RosterdClient(self.gateway.url, "alice") as client:
            with self.assertRaises(RosterdError) as raised:
                await client.update_my_info(birth="tomorrow")
            self.assertEqual((raised.exception.reason, raised.exception.field), ("INVALID_ARGUMENT", "birth"))
            with self.assertRaises(RosterdError) as raised:
                await client.get_user("nobody")
            self.assertEqual(raised.exception.reason, "NOT_FOUND")

    async def test_changes_and_holds(self) -> None:
        async with RosterdClient(self.gateway.url, "alice") as alice, RosterdClient(self.gateway.url, "erin") as erin:
            changes = alice.changes()
            async with alice.hold(["erin"]):
                async for change in changes:
                    if isinstance(change, SnapshotEvent) and change.after.user("erin"):
                        break
            await until("the hold is over", lambda: alice.snapshot.user("erin") is None)
            await erin.signal("alice", "knock")
            async for change in changes:
                if isinstance(change, SignalEvent):
                    self.assertEqual((change.sender, change.payload), ("erin", "knock"))
                    break

    async def test_the_readme_is_enough_for_an_empty_project(self) -> None:
        wheel = os.environ.get("ROSTERD_WHEEL")
        if not wheel:
            self.skipTest("ROSTERD_WHEEL names no wheel")
        readme = (ROOT / "sdk/python/README.md").read_text()
        found = re.search(r"<!-- file: first.py -->\n```python\n(.*?)```", readme, re.S)
        assert found
        code = found[1].replace("ws://127.0.0.1:7678/v1/ws", self.gateway.url)
        with tempfile.TemporaryDirectory() as folder:
            venv.create(Path(folder, "venv"), with_pip=True)
            python = str(Path(folder, "venv/bin/python"))
            await asyncio.to_thread(subprocess.run, [python, "-m", "pip", "install", "--quiet", "--no-index", wheel], check=True)
            Path(folder, "first.py").write_text(code)
            program = await asyncio.create_subprocess_exec(python, "-u", "first.py", cwd=folder, stdout=subprocess.PIPE)
            assert program.stdout
            try:
                line = await asyncio.wait_for(program.stdout.readline(), 20)
                self.assertRegex(line.decode(), "^bob: ")
                while True:
                    self.gateway.backend("PATCH", "/v1/users/bob", nick=f"Bobby {time.monotonic()}")
                    try:
                        line = await asyncio.wait_for(program.stdout.readline(), 2)
                    except asyncio.TimeoutError:
                        continue
                    if b"bob is now" in line:
                        break
                self.assertIn("Bobby", line.decode())
            finally:
                program.kill()
                await program.wait()


if __name__ == "__main__":
    unittest.main()
