#!/usr/bin/env python3
"""How fast events reach a webhook: python3 benches/webhook.py [target/dist/rosterd [EVENTS [DELAY]]]

A gateway of its own makes the events while the endpoint is paused, then delivers them in batches of 100 to a receiver here,
which verifies the signature of each request and parses each event, and answers after DELAY milliseconds, as one that is far
away. Only the standard library is needed."""

import base64
import hashlib
import hmac
import json
import os
import re
import socketserver
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path

binary, wanted, delay = (sys.argv[1:] + ["target/dist/rosterd", "100000", "0"][len(sys.argv) - 1:])[:3]
wanted, delay, secret, key = int(wanted), int(delay) / 1000, os.urandom(32), "a-key-that-only-benchmarks-use"
seen, done, begun = 0, threading.Event(), None


class Receiver(socketserver.StreamRequestHandler):
    """Answers requests on one connection, as a receiver in production would: after it knows whom they are from."""

    def handle(self):
        global seen, begun
        while line := self.rfile.readline():
            begun = begun or time.perf_counter()
            headers = {}
            while (line := self.rfile.readline()) not in (b"\r\n", b""):
                name, value = line.decode().split(":", 1)
                headers[name.lower()] = value.strip()
            body = self.rfile.read(int(headers["content-length"]))
            signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
            right = "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
            assert right in headers["webhook-signature"].split(" "), "a signature that is not the gateway's"
            events = json.loads(body)
            seen += sum(event["type"] == "user.created" for event in events)
            time.sleep(delay)
            self.wfile.write(b"HTTP/1.1 204 No Content\r\n\r\n")
            if seen >= wanted:
                done.set()


def call(method, path, body=b""):
    request = urllib.request.Request(f"http://{ops}{path}", body, {"Authorization": f"Bearer {key}"}, method=method)
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)


def resident(process):
    return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process.pid}/status").read_text())[1]) / 1024


receiver = socketserver.ThreadingTCPServer(("127.0.0.1", 0), Receiver)
receiver.daemon_threads = True
threading.Thread(target=receiver.serve_forever, daemon=True).start()
with tempfile.TemporaryDirectory(prefix="rosterd-webhook-") as folder:
    config = Path(folder) / "config.toml"
    config.write_text(f"""
[clients]
listen = "127.0.0.1:0"
[ops]
listen = "127.0.0.1:0"
api_key = "{key}"
[auth]
mode = "development"
[log]
level = "error"
[store]
url = "sqlite:{folder}/rosterd.db"
[webhooks.bench]
url = "http://127.0.0.1:{receiver.server_address[1]}/"
secret = "whsec_{base64.b64encode(secret).decode()}"
""")
    gateway = subprocess.Popen([binary, "serve", "--config", config], stdout=subprocess.PIPE, text=True)
    try:
        ops = next(found[1] for line in gateway.stdout if (found := re.search(r"ops +http://([\d.:]+)", line)))
        while True:
            try:
                call("POST", "/v1/webhooks/bench/pause")
                break
            except urllib.error.HTTPError as error:
                # The gateway has not read yet how far the endpoint is.
                if error.code != 503:
                    raise
                time.sleep(0.1)
        user = lambda n: json.dumps({"user": {"account": f"user{n}", "nick": f"User {n}", "sign": "x" * 60, "custom": "y" * 60}})
        for first in range(0, wanted, 2000):
            call("POST", "/v1/import", "\n".join(map(user, range(first, min(first + 2000, wanted)))).encode())
        behind = resident(gateway)
        ticks = lambda: sum(map(int, Path(f"/proc/{gateway.pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
        call("POST", "/v1/webhooks/bench/resume")
        used = ticks()
        if not done.wait(300):
            sys.exit(f"{seen} of {wanted} events came")
        took = time.perf_counter() - begun
        used = (ticks() - used) / os.sysconf("SC_CLK_TCK")
        print(f"{seen:,} events in {took:.2f} s: {seen / took:,.0f} events/s, {used / seen * 1e6:.1f} us of the gateway each")
        print(f"the gateway held {behind:.0f} MiB with all of them waiting, and {resident(gateway):.0f} MiB at the end")
    finally:
        gateway.terminate()
        gateway.wait()
