#!/usr/bin/env python3
"""Publishes every change of a gateway to NATS: KEY=… python3 nats-bridge.py http://127.0.0.1:7679 nats://127.0.0.1:4222

It needs nats-py, and JetStream, which confirms each message. Events go to the stream "rosterd", to subjects like
rosterd.user.updated.alice. A message has its position in the feed beside the event, so NATS keeps or loses both, and the
bridge keeps nothing itself: wherever it was killed, it goes on after the last message, and each event is there once and in
order. An error ends it, also that another bridge is publishing; start it again, as systemd does with Restart=always."""

import asyncio
import json
import os
import sys
import urllib.error
import urllib.request

import nats
from nats.js.errors import NotFoundError

gateway, server = sys.argv[1:]
headers = {"Accept": "text/event-stream"}
if key := os.environ.get("KEY"):
    headers["Authorization"] = f"Bearer {key}"


def feed(position):
    """Yields the server-sent events after a position, or from the oldest that is kept."""
    after = {"Last-Event-ID": position} if position else {}
    request = urllib.request.Request(f"{gateway}/v1/feed", headers=headers | after)
    # The gateway sends something every 10 s.
    with urllib.request.urlopen(request, timeout=30) as answer:
        event = {}
        for line in answer:
            name, _, value = line.decode().rstrip("\n").partition(": ")
            if name:
                event[name] = value
            else:
                yield event
                event = {}
    raise EOFError("the gateway ended the stream")


async def main():
    jetstream = (await nats.connect(server, allow_reconnect=False)).jetstream()
    try:
        stream = (await jetstream.stream_info("rosterd")).state
    except NotFoundError:
        stream = (await jetstream.add_stream(name="rosterd", subjects=["rosterd.>"])).state
    last, position = stream.last_seq, ""
    if stream.messages:
        position = (await jetstream.get_msg("rosterd", last)).headers.get("Rosterd-Position", "")
    events = feed(position)
    while True:
        try:
            event = await asyncio.to_thread(next, events)
        except urllib.error.HTTPError as error:
            if error.code != 410:
                raise
            # The gateway does not keep what was missed. Readers of the stream need a snapshot, and get what is kept.
            events, subject, data, about = feed(""), "rosterd.feed.gap", error.read(), {}
        else:
            if event["event"] == "position":
                continue
            if event["event"] == "error":
                sys.exit(event["data"])
            data, body = event["data"].encode(), json.loads(event["data"])
            # A dot in an account would begin another part of the subject.
            subject = f"rosterd.{body['type']}.{body['subject'].replace('.', '%2E')}"
            about = {"Nats-Msg-Id": body["id"], "Rosterd-Position": event["id"]}
        # Refused if the stream does not end where this bridge believes: another one is at work, or NATS lost messages.
        about["Nats-Expected-Last-Sequence"] = str(last)
        last = (await jetstream.publish(subject, data, headers=about)).seq


asyncio.run(main())
