"""deploy/examples/moderation asked by a gateway: what it allows, blanks out and refuses, and what its absence means."""

import asyncio
import json
import socket
import subprocess
import sys
import time

import websockets

from doc import ROOT

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"


class Moderator:
    """The example in a process of its own."""

    def __init__(self, secret=SECRET):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        script = ROOT / "deploy/examples/moderation/moderate.py"
        arguments = [sys.executable, script, str(self.port), secret, "badword"]
        self.process = subprocess.Popen(arguments, stderr=subprocess.DEVNULL)
        hook = {"url": f"http://127.0.0.1:{self.port}/", "secret": SECRET, "timeout": "5s"}
        self.settings = {f"hooks.profile.{key}": value for key, value in hook.items()} | {"hooks.profile.on_failure": "deny"}
        self.settings |= {f"hooks.friend.{key}": value for key, value in hook.items()} | {"hooks.friend.on_failure": "allow"}
        self.settings |= {f"hooks.status.{key}": value for key, value in hook.items()} | {"hooks.status.on_failure": "deny"}
        self.settings |= {"hooks.profile.fields": "nick,sign,tel"}

    def __enter__(self):
        end = time.monotonic() + 20
        while True:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return self
            except OSError:
                assert time.monotonic() < end, "the moderator does not listen"
                time.sleep(0.02)

    def __exit__(self, *_):
        self.process.kill()
        self.process.wait()


async def session(gateway, account):
    """Logs in, and returns what sends a command and waits for its answer, and what waits for a push."""
    socket = await websockets.connect(gateway.url, subprotocols=["rosterd.v1.json"])
    numbers = iter(range(1, 1000))

    async def until(good):
        async with asyncio.timeout(20):
            while not good(frame := json.loads(await socket.recv())):
                if not frame:
                    await socket.send("{}")
            return frame

    async def ask(**command):
        number = next(numbers)
        await socket.send(json.dumps({"id": number, **command}))
        return await until(lambda frame: frame.get("id") == number)

    assert "loginReply" in await ask(login={"token": account})
    await until(lambda frame: "synced" in frame)
    return ask, until


async def check(gateway, moderator):
    gateway.backend("PUT", "/v1/users/ann", nick="Ann")
    gateway.backend("PUT", "/v1/users/ben", nick="of the backend: badword")
    (ask, _), (_, until) = await session(gateway, "ann"), await session(gateway, "ben")
    assert (await ask(updateMyInfo={"nick": "Anna"}))["updateMyInfoReply"]["user"]["nick"] == "Anna"
    error = (await ask(updateMyInfo={"sign": "a BadWord in it", "tel": "7"}))["error"]
    assert error == {"code": 451, "reason": "REJECTED", "message": "Please choose other words", "field": "sign", "detail": "WORD_NOT_ALLOWED"}, error
    assert "setPresenceReply" in await ask(setPresence={"status": "lunch", "until": int(time.time() * 1000) + 60_000})
    error = (await ask(setPresence={"status": "a BadWord in it"}))["error"]
    assert (error["detail"], error["field"]) == ("WORD_NOT_ALLOWED", "status"), error
    assert "requestFriendReply" in await ask(requestFriend={"account": "ben", "message": "badword!"})
    pushed = await until(lambda frame: frame.get("changes", {}).get("requests"))
    assert pushed["changes"]["requests"][0]["message"] == "********", pushed
    moderator.process.kill()
    moderator.process.wait()
    assert (await ask(updateMyInfo={"nick": "Anne"}))["error"]["code"] == 503
    assert "cancelRequestReply" in await ask(cancelRequest={"account": "ben"})
    assert "requestFriendReply" in await ask(requestFriend={"account": "ben"}), "on_failure is allow"
    hooks = {hook["name"]: hook["calls"] for hook in gateway.backend("GET", "/v1/hooks")["hooks"]}
    assert hooks == {"profile": {"allow": 1, "deny": 1, "error": 1}, "friend": {"changed": 1, "error": 1}, "status": {"allow": 1, "deny": 1}}, hooks


async def check_stranger(gateway):
    """A moderator refuses a question that is signed with another secret."""
    gateway.backend("PUT", "/v1/users/ann", nick="Ann")
    ask, _ = await session(gateway, "ann")
    assert (await ask(updateMyInfo={"nick": "Anna"}))["error"]["code"] == 503
    assert gateway.backend("GET", "/v1/hooks")["hooks"][0]["lastCall"]["text"] == "status 401"


def main(gateway_with):
    with Moderator() as moderator, gateway_with(**moderator.settings) as gateway:
        asyncio.run(check(gateway, moderator))
    with Moderator("whsec_ZGlmZmVyZW50IGRpZmZlcmVudCBkaWZmZXJlbnQ=") as moderator, gateway_with(**moderator.settings) as gateway:
        asyncio.run(check_stranger(gateway))
    print("  moderation: allows, blanks out, refuses, and is missed as the settings say")
