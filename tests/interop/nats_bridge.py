"""examples/nats-bridge.py, killed over and over while a backend writes; and the gateway is, and NATS, which loses messages.

The stream then has what the feed has: each event once, and in order."""

import asyncio
import json
import os
import pwd
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.request

import nats

from doc import ROOT
from gateway import Gateway
from search_index import KEY, Writer, until

KILLS = 10


class Nats:
    """A server with JetStream on loopback, as an ordinary user."""

    def __init__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="rosterd-nats-")
        self.port = "-1"
        self.user = {}
        if os.geteuid() == 0:
            nobody = pwd.getpwnam("nobody")
            self.user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
            os.chown(self.directory.name, nobody.pw_uid, nobody.pw_gid)

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.kill()
        self.directory.cleanup()

    @property
    def url(self):
        return f"nats://127.0.0.1:{self.port}"

    def start(self):
        program = shutil.which("nats-server", path=f"{os.environ['PATH']}:/usr/sbin")
        assert program, "there is no nats-server; `make nats` installs it"
        command = [program, "--addr", "127.0.0.1", "--port", self.port, "--jetstream", "--store_dir", "store"]
        self.process = subprocess.Popen(
            command, stderr=subprocess.PIPE, text=True, cwd=self.directory.name, env={}, **self.user
        )
        for line in self.process.stderr:
            if found := re.search(r"Listening for client connections on 127\.0\.0\.1:(\d+)", line):
                # From now on the same port, so that it is found again after a restart.
                self.port = found[1]
            if "Server is ready" in line:
                return
        raise RuntimeError("nats-server did not start")

    def kill(self):
        self.process.kill()
        self.process.wait()
        self.process.stderr.close()

    def restart(self, *command):
        """Kills it, and starts it again after a command in its folder."""
        self.kill()
        subprocess.run(command, cwd=self.directory.name, check=True)
        self.start()

    def ask(self, read):
        """What `read` finds in JetStream."""

        async def asked():
            client = await nats.connect(self.url, allow_reconnect=False)
            try:
                return await read(client.jetstream())
            finally:
                await client.close()

        return asyncio.run(asyncio.wait_for(asked(), 60))

    def last(self):
        """The number of the last message, 0 without a stream."""

        async def read(jetstream):
            try:
                return (await jetstream.stream_info("rosterd")).state.last_seq
            except nats.js.errors.NotFoundError:
                return 0

        return self.ask(read)

    def messages(self):
        async def read(jetstream):
            count = (await jetstream.stream_info("rosterd")).state.messages
            all_of_them = await jetstream.subscribe("rosterd.>", ordered_consumer=True)
            return [await all_of_them.next_msg(30) for _ in range(count)]

        return self.ask(read)

    def forget_ids(self):
        """Makes JetStream forget the ids of messages at once, so that whatever came twice would be there twice."""

        async def write(jetstream):
            config = (await jetstream.stream_info("rosterd")).config
            await jetstream.update_stream(config, duplicate_window=0.1)

        self.ask(write)


def feed(gateway):
    """Every event since the gateway's beginning."""
    events, position = [], ""
    while True:
        url = f"http://{gateway.ops}/v1/feed?limit=5000" + (position and f"&after={position}")
        with urllib.request.urlopen(urllib.request.Request(url, headers={"Authorization": f"Bearer {KEY}"})) as answer:
            *found, last = map(json.loads, answer)
        events, position = events + found, last["position"]
        if not found:
            return events


def compare(messages, events):
    for message, event in zip(messages, events, strict=True):
        account = event["subject"].replace(".", "%2E")
        assert message.headers["Nats-Msg-Id"] == event["id"], (message.headers, event)
        assert message.subject == f"rosterd.{event['type']}.{account}", (message.subject, event)
        # An account that was deleted since has no texts in the feed any more.
        published = json.loads(message.data)
        assert published == event or (event.get("erased") and published["stamp"] == event["stamp"]), (published, event)


def main(gateway):
    with Nats() as server:
        start = lambda gateway: subprocess.Popen(
            [sys.executable, ROOT / "examples/nats-bridge.py", f"http://{gateway.ops}", server.url],
            stderr=subprocess.DEVNULL,
            env=os.environ | {"KEY": KEY},
        )
        gateway.backend("PUT", "/v1/users/a.b", nick="With a dot")
        writers = [Writer(gateway, number) for number in range(3)]
        for writer in writers:
            writer.start()
        bridge, seen = start(gateway), 0
        for number in range(KILLS):
            # In the middle of its work: it has published since it was started.
            until(lambda: server.last() > seen, "the stream does not grow")
            if number == 0:
                server.forget_ids()
            if number == 3:
                gateway.kill()
                until(lambda: bridge.poll() is not None, "it goes on without a gateway")
                gateway.start()
            if number == 5:
                # What NATS confirmed since the copy was made is lost, as a power failure may lose it.
                server.restart("sh", "-c", "rm -r store && mv copy store")
                until(lambda: bridge.poll() is not None, "it goes on without NATS")
                assert server.last() == seen, "nothing was lost"
            if number == 7:
                another = start(gateway)
                until(lambda: (bridge.poll(), another.poll()) != (None, None), "two of them publish")
                another.kill()
                another.wait()
            bridge.kill()
            bridge.wait()
            seen = server.last()
            if number == 4:
                server.restart("cp", "-a", "store", "copy")
            bridge = start(gateway)
        for writer in writers:
            writer.ended.set()
            writer.join()
        gateway.backend("DELETE", "/v1/users/a.b")
        events = feed(gateway)
        until(lambda: server.last() >= len(events), "not all events are published")
        bridge.kill()
        bridge.wait()
        compare(server.messages(), events)
        # What the stream has of an account goes, but not the message that says so, which has the newest position.
        server.ask(lambda jetstream: jetstream.purge_stream("rosterd", seq=len(events), subject="rosterd.*.*.a%2Eb"))
        left = [message.subject for message in server.messages() if message.subject.endswith(".a%2Eb")]
        assert left == ["rosterd.user.deleted.a%2Eb"], left
        # Another gateway cannot go on from there, which is said.
        with Gateway(ops_api_key=KEY) as other:
            other.backend("PUT", "/v1/users/alice", nick="Alice")
            bridge = start(other)
            until(lambda: server.last() >= len(events) + 2, "the gap is not said, or nothing follows it")
            bridge.kill()
            bridge.wait()
            gap, *after = server.messages()[len(events) - 1 :]
            assert gap.subject == "rosterd.feed.gap" and json.loads(gap.data)["snapshot"] == "/v1/snapshot", gap.data
            compare(after, feed(other))
    print(f"  nats bridge: killed {KILLS} times, the gateway and NATS as well; {len(events)} events, each once and in order")
