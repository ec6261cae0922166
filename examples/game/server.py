#!/usr/bin/env python3
"""The server of a game: serves its page, and raises the level of who wins: server.py GATEWAY KEY [PORT]

Only the standard library is needed. README.md says how to start it."""

import json, sys, urllib.error, urllib.parse, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

HERE = Path(__file__).resolve().parent
gateway, key, port = sys.argv[1].rstrip("/"), sys.argv[2], int(sys.argv[3]) if len(sys.argv) > 3 else 8080
FILES = {
    "/": (HERE / "index.html", "text/html; charset=utf-8"),
    "/game.js": (HERE / "game.js", "text/javascript; charset=utf-8"),
    "/rosterd.js": (HERE / "../../sdk/js/dist/rosterd.js", "text/javascript; charset=utf-8"),
}


def call(method, account, **body):
    """A call of the gateway's server API about an account."""
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    url = f"{gateway}/v1/users/{urllib.parse.quote(account, safe='')}"
    request = urllib.request.Request(url, json.dumps(body).encode() if body else None, headers, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def win(account):
    """Raises an account's level. A game would know its players, and decide here who has won."""
    level = call("GET", account)["fields"]["level"]
    return call("PATCH", account, fields={"level": min(level + 1, 100)})["fields"]["level"]


class Game(BaseHTTPRequestHandler):
    def do_GET(self):
        path, kind = FILES.get(self.path.partition("?")[0], (None, None))
        self.answer(200, path.read_bytes(), kind) if path else self.answer(404)

    def do_POST(self):
        size = int(self.headers.get("Content-Length") or 0)
        if self.path != "/win" or size > 1000:
            return self.answer(404)
        try:
            level = win(str(json.loads(self.rfile.read(size))["account"]))
        except urllib.error.HTTPError as error:
            return self.answer(error.code, error.read(), "application/json")
        except (KeyError, TypeError, ValueError):
            return self.answer(400)
        except OSError:
            return self.answer(502)
        self.answer(200, json.dumps({"level": level}).encode(), "application/json")

    def answer(self, status, body=b"", kind="text/plain"):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


if __name__ == "__main__":
    ThreadingHTTPServer(("127.0.0.1", port), Game).serve_forever()
