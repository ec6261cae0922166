"""The Python client of docs/protocol.md, against a running gateway: does what the page says hold?"""

import asyncio
import json

import websockets

from doc import code

exec(code("digest.py", "client.py"))  # digest, Client


async def until(what, condition):
    for _ in range(500):
        if condition():
            return print(f"  python: {what}")
        await asyncio.sleep(0.02)
    raise AssertionError(f"never: {what}")


def nick(client, account):
    return client.held["users"].get(account, {}).get("nick")


async def keeps_in_sync(gateway):
    alice, bob = Client(gateway.url, "alice"), Client(gateway.url, "bob")
    running = [asyncio.create_task(client.run()) for client in (alice, bob)]
    await until("two clients log in and their digests agree", lambda: alice.cursor and bob.cursor)
    assert set(alice.held["friends"]) == {"bob", "carol", "dave"} and nick(alice, "bob") == "Bob"

    reply = await bob.request(updateMyInfo={"nick": "Robert 🦀", "custom": "{not: 'json'\u0000}"})
    assert reply["updateMyInfoReply"]["user"]["nick"] == "Robert 🦀"
    await until("a friend's change arrives", lambda: nick(alice, "bob") == "Robert 🦀")
    assert alice.held["users"]["bob"]["custom"] == "{not: 'json'\u0000}"

    gateway.backend("PATCH", "/v1/users/carol", sign="from the backend")
    sign = lambda: alice.held["users"]["carol"]["sign"]
    await until("the backend's change arrives", lambda: sign() == "from the backend")

    gateway.backend("PUT", "/v1/users/alice/friends/erin")
    await until("a new friend arrives with its profile", lambda: nick(alice, "erin") == "Erin")
    gateway.backend("DELETE", "/v1/users/alice/friends/erin")
    await until("and goes", lambda: "erin" not in alice.held["friends"])

    reply = await alice.request(getUsers={"accounts": ["erin", "zoe", "erin"]})
    reply = reply["getUsersReply"]
    assert [user["account"] for user in reply["users"]] == ["erin"] and reply["missing"] == ["zoe"]
    error = (await alice.request(updateMyInfo={"birth": "tomorrow"}))["error"]
    assert (error["code"], error["reason"], error["field"]) == (414, "INVALID_ARGUMENT", "birth")
    stale = alice.held["me"]["alice"]["version"] - 1
    error = (await alice.request(updateMyInfo={"nick": "x", "ifVersion": stale}))["error"]
    assert (error["code"], error["field"]) == (412, "ifVersion")
    print("  python: getUsers, and the errors of a wrong field and a wrong version")

    # Whatever became of the store's file: what was answered is there after the restart.
    seen = []
    apply = alice.apply
    alice.apply = lambda frame: (seen.append(frame), apply(frame))[1]
    reply = await bob.request(updateMyInfo={"nick": "Durable"})
    gateway.kill()
    gateway.start()
    gateway.backend("DELETE", "/v1/users/alice/friends/dave")
    synced = lambda: any("synced" in frame for frame in seen)
    await until("kill -9: the clients come back by themselves", lambda: synced() and bob.held["users"])
    login = next(frame["loginReply"] for frame in seen if "loginReply" in frame)
    assert login["sync"] == "delta" and "because" not in login, login
    assert nick(alice, "bob") == "Durable" and "dave" not in alice.held["friends"]
    print("  python: with a delta; nothing answered was lost, and the digest agrees")

    beats = sum(frame == {} for frame in seen)
    await until("heartbeats are answered", lambda: sum(frame == {} for frame in seen) > beats + 2)
    full = Client(gateway.url, "alice")
    running.append(asyncio.create_task(full.run()))
    await until("a full sync gives what the deltas gave", lambda: full.cursor and full.held == alice.held)
    for client in (alice, bob, full):
        assert "logoutReply" in await client.request(logout={})
    await asyncio.wait_for(asyncio.gather(*running), 5)
    print("  python: all three log out")


async def talk(gateway, *messages, subprotocol=None):
    """Sends messages; all frames until the gateway closes, and the close code. Answers no heartbeat."""
    frames = []
    options = {"subprotocols": [subprotocol]} if subprotocol else {}
    async with websockets.connect(gateway.url, ping_interval=None, **options) as socket:
        assert socket.subprotocol == subprotocol
        try:
            for message in messages:
                await socket.send(message)
            async for message in socket:
                frames.append(message)
        except websockets.ConnectionClosed:
            pass
        return frames, socket.close_code


async def ends_as_said(gateway):
    login = '{"id": 1, "login": {"token": "carol"}}'
    for what, messages, code in [
        ("silence", [login], 3001),
        ("an unknown account", ['{"id": 1, "login": {"token": "nobody"}}'], 3500),
        ("a bad token", ['{"id": 1, "login": {"token": "not an account"}}'], 3500),
        ("what is not JSON", [login, "{"], 3501),
        ("a binary message", [login, b"{}"], 3501),
        ("a frame of 70 KB", [login, '{"id": 2, "updateMyInfo": {"later": "%s"}}' % ("x" * 70000)], 3501),
    ]:
        frames, closed = await talk(gateway, *messages)
        goodbye = json.loads(frames[-1])["goodbye"]
        assert closed == goodbye["code"] == code and goodbye["reconnect"] == (code < 3500), (what, closed, goodbye)
    print("  python: the close codes of silence, bad tokens and malformed frames")

    early, again = '{"id": 7, "logout": {}}', '{"id": 8, "login": {"token": "carol"}}'
    frames, closed = await talk(gateway, early, login, again, '{"logout": {}}', '{"id": 9, "logout": {}}')
    frames = [json.loads(frame) for frame in frames]
    errors = [(frame.get("id"), frame["error"]["code"]) for frame in frames if "error" in frame]
    assert errors == [(7, 302), (8, 417), (None, 414)] and closed == 1000, (errors, closed)
    print("  python: too early, twice, without an id")

    try:
        await talk(gateway, subprotocol="rosterd.v9")
        raise AssertionError("an unknown subprotocol was accepted")
    except websockets.InvalidStatus as refused:
        assert refused.response.status_code == 400
    login = bytes.fromhex("08 01 12 05 0a 03 62 6f 62")
    frames, closed = await talk(gateway, login, subprotocol="rosterd.v1.protobuf")
    assert b"bob" in frames[0] and b"" in frames and closed == 3001, (frames, closed)
    print("  python: subprotocols; a protobuf login, and heartbeats of zero bytes")


async def main(gateway):
    await keeps_in_sync(gateway)
    await ends_as_said(gateway)
