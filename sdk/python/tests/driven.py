"""The Python client under the scenarios of docs/conformance/scenarios: a client that is driven by lines of JSON.

docs/conformance/scenarios/README.md describes the lines. Whoever runs the scenarios starts this program.
"""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from typing import Any, Optional

from rosterd_client import (
    Changes,
    Device,
    ErrorEvent,
    Hold,
    RosterdClient,
    RosterdError,
    SignalEvent,
    Snapshot,
    SnapshotEvent,
    UnauthorizedError,
)


def say(**line: Any) -> None:
    print(json.dumps(line), flush=True)


def described(error: RosterdError) -> dict[str, Any]:
    return {"code": error.code, "reason": error.reason, "message": error.message}


def wire(record: Any) -> Any:
    """A record as it is on the wire."""
    if isinstance(record, dict):
        return {name: wire(value) for name, value in record.items()}
    if not dataclasses.is_dataclass(record):
        return record
    fields = {field.name: wire(getattr(record, field.name)) for field in dataclasses.fields(record)}
    camel = {"".join(part.capitalize() if at else part for at, part in enumerate(name.split("_"))): value for name, value in fields.items()}
    return {name: value for name, value in camel.items() if value is not None}


def shown(snapshot: Snapshot) -> dict[str, Any]:
    connection = snapshot.connection
    return {
        "phase": connection.phase,
        "lastError": connection.last_error and connection.last_error.reason,
        "me": wire(snapshot.me),
        "pending": snapshot.pending,
        "users": [wire(user) for user in snapshot.users.values()],
        "friends": [wire(friend) for friend in snapshot.friends.values()],
        "requests": [wire(request) for request in snapshot.requests],
        "blocks": [wire(block) for block in snapshot.blocks.values()],
        "presence": [wire(presence) for presence in snapshot.presence.values()],
        "sessions": [wire(session) for session in snapshot.sessions],
        "watched": sorted(snapshot.watched),
    }


async def follow(changes: Changes) -> None:
    async for change in changes:
        if isinstance(change, SnapshotEvent):
            say(event="change", snapshot=shown(change.after))
        elif isinstance(change, SignalEvent):
            say(event="signal", **{"from": change.sender}, payload=change.payload)
        elif isinstance(change, ErrorEvent):
            say(event="error", error=described(change.error))


class Driven:
    def __init__(self) -> None:
        self.client: Optional[RosterdClient] = None
        self.follower: Optional[asyncio.Task[None]] = None
        self.holds: dict[str, Hold] = {}
        self.asked: dict[int, asyncio.Future[dict[str, Any]]] = {}

    async def get_token(self, why: str) -> str:
        ask = len(self.asked) + 1
        answer = self.asked[ask] = asyncio.get_running_loop().create_future()
        say(event="token", ask=ask, why=why)
        line = await answer
        if "token" in line:
            return str(line["token"])
        raise UnauthorizedError("logged out") if line.get("unauthorized") else RuntimeError("no token now")

    async def open(self, line: dict[str, Any]) -> None:
        device = line.get("device")
        self.client = RosterdClient(
            line["url"],
            line["account"],
            token=line.get("token"),
            get_token=self.get_token if line.get("asksForTokens") else None,
            cache=line.get("cache"),
            device=Device(**device) if device else None,
            request_timeout=line.get("requestTimeoutMs", 8000) / 1000,
            backoff=(0.02, 0.2),
        )
        self.follower = asyncio.create_task(follow(self.client.changes()))

    async def call(self, command: str, body: dict[str, Any], options: dict[str, Any]) -> Any:
        client = self.client
        assert client is not None
        if command == "updateMyInfo":
            version = {"if_version": body.pop("ifVersion")} if "ifVersion" in body else {}
            return {"user": wire(await client.update_my_info(**body, **version, **options))}
        if command == "getUsers":
            users, missing = await client.get_users(body["accounts"], fresh=True)
            return {"users": [wire(user) for user in users], "missing": missing}
        if command == "watch":
            return {"missing": await client.watch(body["accounts"])}
        if command == "getSessions":
            return {"sessions": [wire(session) for session in await client.get_sessions()]}
        if command == "getSchema":
            return wire(await client.get_schema())
        if command == "kick":
            return {"kicked": await client.kick(body["sessions"])}
        if command == "signal":
            return wire(await client.signal(**body))
        if command == "setPresence":
            if "status" in body:
                return await client.set_status(**body)
            return await client.set_presence(**body)
        name = "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in command)
        return await getattr(client, name)(**body)

    async def carry_out(self, line: dict[str, Any]) -> Any:
        operation = line["op"]
        if operation == "open":
            return await self.open(line)
        if operation == "clock":
            return None
        assert self.client is not None
        if operation == "hold":
            self.holds[line["name"]] = self.client.hold(line["accounts"])
        elif operation == "release":
            await self.holds.pop(line["name"]).release()
        elif operation == "call":
            return await self.call(line["command"], line["body"], line.get("options") or {})
        elif operation == "wake":
            self.client.wake()
        else:
            await getattr(self.client, operation)()
        return None

    async def answer(self, line: dict[str, Any]) -> None:
        try:
            say(id=line["id"], result=await self.carry_out(line) or {})
        except RosterdError as error:
            say(id=line["id"], error=described(error))


async def main() -> None:
    driven, tasks = Driven(), set()
    reader = asyncio.StreamReader(limit=2**24)
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), sys.stdin)
    say(event="ready")
    while data := await reader.readline():
        line = json.loads(data)
        if line["op"] == "exit":
            break
        if line["op"] == "token":
            driven.asked[line["ask"]].set_result(line)
            continue
        task = asyncio.create_task(driven.answer(line))
        tasks.add(task)
        task.add_done_callback(tasks.discard)
        if line["op"] == "open":
            await task


asyncio.run(main())
