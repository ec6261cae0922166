"""The examples of docs/events.md: one of each type, and what a gateway sends when the same is done again."""

import asyncio
import json
import re
import subprocess
import urllib.request

import websockets

from doc import ROOT, code
from gateway import BINARY
from search_index import until

# More than the default, so that examples show what personal fields look like.
FIELDS = "nick,avatar,sign,gender,custom,message,alias"


async def client(gateway, account, *commands):
    async with websockets.connect(gateway.url) as socket:
        for number, command in enumerate([{"login": {"token": account}}, *commands], 1):
            await socket.send(json.dumps({"id": number, **command}))
            while (answer := json.loads(await socket.recv())).get("id") != number:
                pass
            assert "error" not in answer, answer


def live(gateway):
    """What the users of the page do."""
    backend = gateway.backend
    for account in ("alice", "bob", "carol", "dave"):
        backend("PUT", f"/v1/users/{account}", nick=account.capitalize())
    request = lambda account: {"requestFriend": {"account": account, "message": "We met at the lake"}}
    asyncio.run(client(gateway, "alice", {"updateMyInfo": {"nick": "Ally"}}, request("bob"), request("carol")))
    backend("POST", "/v1/users/bob/requests/alice/accept")
    asyncio.run(client(gateway, "carol", {"rejectFriend": {"account": "alice"}}))
    asyncio.run(client(gateway, "alice", request("carol"), {"cancelRequest": {"account": "carol"}}))
    note = {"updateFriend": {"account": "bob", "alias": "Bobby"}}
    asyncio.run(client(gateway, "alice", note, {"deleteFriend": {"account": "bob"}}))
    asyncio.run(client(gateway, "alice", {"block": {"account": "bob"}}, {"unblock": {"account": "bob"}}))
    backend("PUT", "/v1/users/alice/token")
    backend("DELETE", "/v1/users/alice/token")
    backend("POST", "/v1/users/alice/tokens:revoke")
    backend("PUT", "/v1/users/bob/requests/carol", message="Hello")
    gateway.stop()
    gateway.settings["friends.request_expiry"] = "1s"
    gateway.start()
    until(lambda: any(event["type"] == "request.expired" for event in feed(gateway)), "the request does not expire")
    backend("DELETE", "/v1/users/dave")


def feed(gateway):
    headers = {"Authorization": f"Bearer {gateway.settings['ops.api_key']}"}
    request = urllib.request.Request(f"http://{gateway.ops}/v1/feed?fields={FIELDS}", headers=headers)
    with urllib.request.urlopen(request) as answer:
        return [event for event in map(json.loads, answer) if "type" in event]


def delivery(gateway, receiver):
    """The events about the delivery: of a test, and of a store that was restored."""
    gateway.backend("POST", "/v1/webhooks/crm/test")
    store = f"--set=store.url=sqlite:{gateway.directory.name}/rosterd.db"
    copy = f"{gateway.directory.name}/copy.db"
    subprocess.run([BINARY, "backup", store, copy], check=True, stdout=subprocess.DEVNULL)
    gateway.stop()
    subprocess.run([BINARY, "restore", store, copy], check=True, stdout=subprocess.DEVNULL)
    gateway.start()
    events = lambda: [event for request in receiver.received for event in json.loads(request["body"])]
    until(lambda: any(event["type"] == "feed.gap" for event in events()), "the gap is not said")
    return [event for event in events() if event["type"] in ("feed.gap", "webhook.test")]


def shown(event):
    """An event as the page shows it."""
    return json.dumps(event, separators=(",", ":"), ensure_ascii=False).replace(',"data":', ',\n "data":', 1)


def alike(text):
    """The text without what differs from run to run: ids of histories and sessions, times, and how much was delivered."""
    text = re.sub(r'"from":"[^"]*"', '"from":"POSITION"', text)
    text = re.sub(r"\b[0-9a-f]{16}\b", "HISTORY", text)
    text = re.sub(r"\b\d{4}-\d\d-\d\dT[\d:.]+Z", "TIME", text)
    return re.sub(r"\b1\d{12}\b", "MILLISECONDS", text)


def types(gateway):
    """The types of events that a gateway knows, in its order; it gives them as a pattern."""
    parameters = gateway.backend("GET", "/v1/openapi.json")["paths"]["/v1/feed"]["get"]["parameters"]
    pattern = next(parameter["schema"]["pattern"] for parameter in parameters if parameter["name"] == "types")
    return list(dict.fromkeys(f"{group}.{name}" for group, name in re.findall(r"(\w+)\\\.(\w+)", pattern)))


def main(gateway, receiver):
    live(gateway)
    sent = {event["type"]: event for event in reversed(feed(gateway) + delivery(gateway, receiver))}
    wanted = types(gateway) + ["feed.gap", "webhook.test"]
    shown_anywhere = set(re.findall(r'"type":"([a-z.]+)"', (ROOT / "docs/events.md").read_text()))
    assert set(wanted) <= shown_anywhere, f"docs/events.md has no example of {set(wanted) - shown_anywhere}"
    examples = [shown(sent[kind]) for kind in wanted if kind in sent]
    page = code("events.json", page="events.md").strip().split("\n{")
    page = [text if text.startswith("{") else "{" + text for text in page]
    if [*map(alike, page)] != [*map(alike, examples)]:
        print("\n".join(examples))
        raise AssertionError("the examples of docs/events.md are not what a gateway sends, which is above")
    print(f"  events: the {len(page)} examples of the page are what a gateway sends")
