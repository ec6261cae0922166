"""A gateway of its own for a test: free ports on loopback, a store in a temporary directory."""

import json
import os
import re
import subprocess
import tempfile
import time
import urllib.request
from pathlib import Path

from doc import ROOT

BINARY = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "debug/rosterd"


class Gateway:
    """Development mode with the demo users, and a heartbeat every second; more settings as section_key=value."""

    def __init__(self, **settings):
        self.settings = {name if "." in name else name.replace("_", ".", 1): value for name, value in settings.items()}
        self.directory = tempfile.TemporaryDirectory(prefix="rosterd-interop-")
        self.clients, self.ops, self.process = "127.0.0.1:0", "127.0.0.1:0", None

    def __enter__(self):
        self.start()
        return self

    def __exit__(self, *_):
        self.stop()
        self.directory.cleanup()

    @property
    def url(self):
        return f"ws://{self.clients}/v1/ws"

    def start(self):
        settings = {"clients.listen": self.clients, "ops.listen": self.ops, "clients.heartbeat": "1s", "log.level": "warn"}
        settings["store.url"] = f"sqlite:{self.directory.name}/rosterd.db"
        settings |= self.settings
        arguments = [BINARY] + [f"--set={key}={value}" for key, value in settings.items()]
        kept = {k: v for k, v in os.environ.items() if not k.startswith("ROSTERD_")}
        self.process = subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True, env=kept, cwd=self.directory.name)
        for line in self.process.stdout:
            if found := re.search(r"(clients|ops) +\w+://([\d.:]+)", line):
                # From now on the same ports, so that clients find it again after a restart.
                setattr(self, *found.groups())
                if found[1] == "ops":
                    return
        raise RuntimeError("the gateway did not start")

    def kill(self):
        """As a power failure would."""
        self.process.kill()
        self.process.wait()

    def stop(self):
        """In order."""
        self.process.terminate()
        self.process.wait(20)

    def backend(self, method, path, **body):
        """A request to the server API."""
        data = json.dumps(body).encode() if body else None
        headers = {"Authorization": f"Bearer {key}"} if (key := self.settings.get("ops.api_key")) else {}
        request = urllib.request.Request(f"http://{self.ops}{path}", data, headers, method=method)
        with urllib.request.urlopen(request) as answer:
            return json.load(answer)
