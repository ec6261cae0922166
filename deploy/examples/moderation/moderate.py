#!/usr/bin/env python3
"""Decides about names and requests by a list of words: moderate.py PORT SECRET WORD…

Only the standard library is needed. README.md says how a gateway comes to ask it."""

import base64, hashlib, hmac, json, sys, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

port, secret, words = int(sys.argv[1]), base64.b64decode(sys.argv[2].removeprefix("whsec_")), sys.argv[3:]


def decide(asked):
    given = {"message": asked.get("message", "")} if asked["hook"] == "friend" else asked["set"]
    bad = {field: text for field, text in given.items() if any(word in str(text).casefold() for word in words)}
    if "message" in bad:  # It reaches the other side, without the words.
        return {"decision": "allow", "set": {"message": "*" * len(bad["message"])}}
    if bad:
        return {"decision": "deny", "detail": "WORD_NOT_ALLOWED", "message": "Please choose other words", "field": min(bad)}
    return {"decision": "allow"}


class Moderator(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # Connections are kept.

    def do_POST(self):
        body, sent = self.rfile.read(int(self.headers["Content-Length"])), self.headers["webhook-timestamp"]
        signed = hmac.digest(secret, f"{self.headers['webhook-id']}.{sent}.".encode() + body, hashlib.sha256)
        right = "v1," + base64.b64encode(signed).decode()
        known = any(hmac.compare_digest(right, given) for given in self.headers["webhook-signature"].split())
        answer = json.dumps(decide(json.loads(body))).encode() if known and abs(time.time() - int(sent)) < 300 else b""
        self.send_response(200 if answer else 401)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)


ThreadingHTTPServer(("127.0.0.1", port), Moderator).serve_forever()
