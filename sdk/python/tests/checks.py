"""What is Python's own of this client, against a gateway: cancelling, references, callbacks, errors, the README.

`make python` runs it; `ROSTERD_WHEEL` is the wheel that an empty project installs.
"""

from __future__ import annotations

import asyncio
import gc
import os
import re
import sqlite3
import subprocess
import sys
import tempfile
import time
import unittest
import urllib.request
import venv
from pathlib import Path
from typing import Any, Callable

from rosterd_client import (
    Changes,
    Device,
    ErrorEvent,
    FieldSchema,
    RosterdClient,
    RosterdError,
    SignalEvent,
    Snapshot,
    SnapshotEvent,
    UnauthorizedError,
)

ROOT = Path(__file__).resolve().parents[3]
sys.path.insert(0, str(ROOT / "tests/interop"))

from gateway import Gateway  # noqa: E402


async def until(what: str, done: Callable[[], Any]) -> None:
    end = time.monotonic() + 20
    while not done():
        assert time.monotonic() < end, what
        await asyncio.sleep(0.02)


async def error_of(changes: Changes) -> RosterdError:
    async for change in changes:
        if isinstance(change, ErrorEvent):
            return change.error
    raise AssertionError("the client is gone")


async def snapshot_of(changes: Changes, wanted: Callable[[Snapshot], Any]) -> Snapshot:
    async for change in changes:
        if isinstance(change, SnapshotEvent) and wanted(change.after):
            return change.after
    raise AssertionError("the client is gone")


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

    def commands(self, gateway: Any) -> float:
        with urllib.request.urlopen(f"http://{gateway.ops}/metrics") as answer:
            return sum(float(value) for value in re.findall(r"^rosterd_commands_total\S* ([\d.]+)$", answer.read().decode(), re.M))

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
        changes = client.changes()
        await client.connect()
        self.assertEqual((answers, client.snapshot.connection.phase), ([], "live"))
        for says in ("RuntimeError('a bug')", "no str but int", "an empty text"):
            error = await asyncio.wait_for(error_of(changes), 20)
            self.assertEqual((error.code, error.reason, says in error.message), (302, "NO_TOKEN", True), error)
        await client.disconnect()

    async def test_a_callback_that_hangs_holds_nobody_up(self) -> None:
        asked = asyncio.Event()

        async def get_token(why: str) -> str:
            asked.set()
            await asyncio.Event().wait()
            raise AssertionError("nobody sets it")

        client = RosterdClient(self.gateway.url, "dave", get_token=get_token)
        connecting = asyncio.create_task(client.connect())
        await asyncio.wait_for(asked.wait(), 20)
        async with RosterdClient(self.gateway.url, "erin") as other:
            self.assertEqual((await other.get_user("erin", fresh=True)).account, "erin")
        await asyncio.wait_for(client.disconnect(), 20)
        with self.assertRaises(RosterdError) as raised:
            await connecting
        self.assertEqual(raised.exception.reason, "DISCONNECTED")

    async def test_a_callback_may_call_the_client(self) -> None:
        clients: list[RosterdClient] = []

        async def get_token(why: str) -> str:
            # There is no connection before there is a token, so this call runs out of time.
            with self.assertRaises(RosterdError) as raised:
                await clients[0].get_sessions()
            self.assertEqual((raised.exception.reason, clients[0].snapshot.connection.phase), ("TIMEOUT", "connecting"))
            return "dave"

        clients.append(RosterdClient(self.gateway.url, "dave", get_token=get_token, request_timeout=0.2))
        await asyncio.wait_for(clients[0].connect(), 20)
        await clients.pop().disconnect()

    async def test_a_callback_that_says_unauthorized_ends_the_client(self) -> None:
        async def get_token(why: str) -> str:
            raise UnauthorizedError("logged out")

        client = RosterdClient(self.gateway.url, "dave", get_token=get_token)
        with self.assertRaises(RosterdError) as raised:
            await asyncio.wait_for(client.connect(), 20)
        self.assertEqual((raised.exception.reason, client.snapshot.connection.phase), ("UNAUTHORIZED", "disconnected"))

    async def test_wrong_addresses_and_accounts_are_errors(self) -> None:
        url = self.gateway.url
        for url, account, reason, says in (
            ("no address at all", "alice", "NO_CONNECTION", "is not an address like"),
            (url.replace("ws:", "http:"), "alice", "NO_CONNECTION", "is not an address like"),
            (url.replace("/v1/ws", "/v1/other"), "alice", "CONNECTION_LOST", "no WebSocket there"),
            ("ws://127.0.0.1:1/v1/ws", "alice", "CONNECTION_LOST", "cannot connect to 127.0.0.1:1"),
            (url, "nobody", "NOT_FOUND", 'account "nobody" does not exist'),
        ):
            client = RosterdClient(url, account, reconnect=False)
            with self.assertRaises(RosterdError) as raised:
                await asyncio.wait_for(client.connect(), 20)
            self.assertEqual((raised.exception.reason, says in raised.exception.message), (reason, True), raised.exception)

    async def test_a_certificate_that_nobody_vouches_for_is_named_and_an_authority_helps(self) -> None:
        with self.assertRaises(RosterdError) as raised:
            RosterdClient("wss://127.0.0.1/v1/ws", "alice", authorities="no certificate")
        self.assertEqual((raised.exception.code, raised.exception.field), (414, "authorities"))
        with tempfile.TemporaryDirectory() as folder:
            key, certificate = Path(folder, "key.pem"), Path(folder, "certificate.pem")
            made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"]
            made += ["-subj", "/CN=localhost", "-addext", "subjectAltName=IP:127.0.0.1", "-addext", "basicConstraints=critical,CA:FALSE", "-keyout", str(key), "-out", str(certificate)]
            subprocess.run(made, check=True, capture_output=True)
            with Gateway(**{"clients.tls.certificate": certificate, "clients.tls.key": key}) as gateway:
                url = gateway.url.replace("ws:", "wss:")
                with self.assertRaises(RosterdError) as raised:
                    await asyncio.wait_for(RosterdClient(url, "alice", reconnect=False).connect(), 20)
                self.assertIn("certificate", raised.exception.message)
                client = RosterdClient(url, "alice", authorities=certificate.read_text())
                await asyncio.wait_for(client.connect(), 20)
                self.assertEqual(client.snapshot.connection.phase, "live")
                await client.disconnect()

    async def test_a_cache_of_a_newer_version_stays_as_it_is(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            async with RosterdClient(self.gateway.url, "alice", cache=folder):
                pass
            (file,) = Path(folder).iterdir()
            database = sqlite3.connect(file)
            database.execute("PRAGMA user_version = 99")
            database.close()
            before = file.read_bytes()
            client = RosterdClient(self.gateway.url, "alice", cache=Path(folder))
            changes = client.changes()
            await client.connect()
            error = await asyncio.wait_for(error_of(changes), 20)
            self.assertEqual((error.reason, "a newer version" in error.message), ("STORE", True), error)
            self.assertIn("bob", client.snapshot.friends)
            await client.disconnect()
            self.assertEqual(file.read_bytes(), before)

    async def test_changes_that_show_at_once_and_changes_that_are_kept(self) -> None:
        with tempfile.TemporaryDirectory() as folder:
            client = RosterdClient(self.gateway.url, "carol", cache=folder)
            await client.connect()
            held = await client.update_my_info(sign="held", gender="unknown")
            with self.assertRaises(RosterdError):
                await client.update_my_info(sign="never", birth="tomorrow", optimistic=True)
            self.assertEqual((client.snapshot.me, client.snapshot.pending), (held, None))
            await client.disconnect()
            changes = client.changes()
            each: list[tuple[dict[str, Any], str]] = [({"optimistic": True}, "for a moment"), ({"keep": True}, "for good")]
            for options, sign in each:
                call = asyncio.create_task(client.update_my_info(sign=sign, gender="female", **options))
                shown = await snapshot_of(changes, lambda snapshot: snapshot.pending)
                self.assertEqual((shown.me and shown.me.sign, shown.pending), (sign, {"sign": sign, "gender": "female"}))
                call.cancel()
                with self.assertRaises(asyncio.CancelledError):
                    await call
                if "optimistic" in options:
                    back = await snapshot_of(changes, lambda snapshot: snapshot.pending is None)
                    self.assertEqual(back.me, held)
            del client
            gc.collect()
            # The next client with this cache sends it.
            async with RosterdClient(self.gateway.url, "carol", cache=folder) as client:
                await until("the change is confirmed", lambda: client.snapshot.pending is None)
                self.assertEqual((await client.get_user("carol", fresh=True)).sign, "for good")

    async def test_muted_accounts_and_how_requests_end(self) -> None:
        async with RosterdClient(self.gateway.url, "dave") as dave, RosterdClient(self.gateway.url, "erin") as erin:
            await dave.set_muted("erin", True)
            self.assertEqual(dave.snapshot.me and dave.snapshot.me.muted, ["erin"])
            await dave.set_muted("erin", False)
            self.assertEqual(dave.snapshot.me and dave.snapshot.me.muted, [])
            await dave.request_friend("erin", "hello")
            changes = dave.changes()
            await until("the request is there", lambda: erin.snapshot.requests)
            await erin.reject_friend("dave")
            async for change in changes:
                if isinstance(change, SnapshotEvent) and change.ended_requests:
                    (ended,) = change.ended_requests
                    self.assertEqual((ended.account, ended.direction, ended.state), ("erin", "out", "rejected"))
                    break

    async def test_the_schema_has_types_and_what_it_forbids_is_not_sent(self) -> None:
        level = FieldSchema("integer", "everyone", "backend", min=1.0, max=9.0, default=1)
        tags = FieldSchema("list", "friends", "self", max_length=3, max_items=2, values=["red", "tan"], default=["red"])
        diary = FieldSchema("text", "self", "self", max_length=256)
        settings = {
            "profile.fields.level.type": "integer", "profile.fields.level.min": 1, "profile.fields.level.max": 9,
            "profile.fields.level.write": "backend", "profile.fields.level.default": 1,
            "profile.fields.tags.type": "list", "profile.fields.tags.max_items": 2, "profile.fields.tags.max_length": 3,
            "profile.fields.tags.values": '["red", "tan"]', "profile.fields.tags.default": "red",
            "profile.fields.tags.visibility": "friends",
            "profile.fields.diary.type": "text", "profile.fields.diary.visibility": "self",
            "profile.write.nick": "backend",
        }
        with Gateway(**settings) as gateway:
            async with RosterdClient(gateway.url, "alice") as client:
                schema = await client.get_schema()
                self.assertEqual(schema.fields, {"level": level, "tags": tags, "diary": diary})
                self.assertEqual((len(schema.hash), schema.backend_only), (16, ["nick"]))
                wrong: list[tuple[dict[str, Any], str, str]] = [
                    ({"fields": {"level": 2}}, "fields.level", "PERMISSION_DENIED"),
                    ({"nick": "Al"}, "nick", "PERMISSION_DENIED"),
                    ({"fields": {"tags": ["blue"]}}, "fields.tags", "INVALID_ARGUMENT"),
                    ({"fields": {"tags": 7}}, "fields.tags", "INVALID_ARGUMENT"),
                    ({"fields": {"dairy": "x"}}, "fields.dairy", "INVALID_ARGUMENT"),
                ]
                before = self.commands(gateway)
                for change, field, reason in wrong:
                    with self.assertRaises(RosterdError) as raised:
                        await client.update_my_info(**change)
                    self.assertEqual((raised.exception.field, raised.exception.reason), (field, reason))
                self.assertEqual(self.commands(gateway), before, "nothing was sent")
                me = await client.update_my_info(fields={"tags": ["tan"], "diary": "d"})
                self.assertEqual((me.fields["tags"], me.fields["diary"]), (["tan"], "d"))
                self.assertEqual(self.commands(gateway), before + 1)

    async def test_errors_are_of_the_languages_own_kind(self) -> None:
        with self.assertRaises(RosterdError) as raised:
            RosterdClient(self.gateway.url, "")
        self.assertEqual((raised.exception.code, raised.exception.field), (414, "account"))
        with self.assertRaises(ValueError):
            RosterdClient(self.gateway.url, "alice", request_timeout=float("nan"))
        with self.assertRaises(ValueError):
            wrong: Any = "other"
            await RosterdClient(self.gateway.url, "alice").update_my_info(gender=wrong)
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
