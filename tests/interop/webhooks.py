"""The requests of a webhook, verified by the libraries of Standard Webhooks and read by those of CloudEvents."""

import json
import threading
from datetime import datetime, timezone
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from standardwebhooks import Webhook
from standardwebhooks.webhooks import WebhookVerificationError

from doc import ROOT, code

SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"
PREVIOUS = "whsec_ZGlmZmVyZW50IGRpZmZlcmVudCBkaWZmZXJlbnQ="


class Receiver:
    """Takes everything, and keeps it."""

    def __init__(self):
        received = self.received = []

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self):
                body = self.rfile.read(int(self.headers["Content-Length"])).decode()
                received.append({"headers": dict(self.headers), "body": body})
                self.send_response(204)
                self.end_headers()

            def log_message(self, *_):
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        # An endpoint is paused by the generated clients' calls and resumed again, so all of it arrives.
        self.settings = {
            "webhooks.crm.url": f"http://127.0.0.1:{self.server.server_port}/",
            "webhooks.crm.secret": SECRET,
            "webhooks.crm.previous_secret": PREVIOUS,
            "webhooks.crm.previous_until": "2099-01-01T00:00:00Z",
            "webhooks.crm.events": "*",
        }

    def __enter__(self):
        threading.Thread(target=self.server.serve_forever, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.server.shutdown()


def main(receiver, node):
    page = {}
    exec(code("webhook.py", page="events.md"), page)
    types = set()
    for request in receiver.received:
        for secret in (SECRET, PREVIOUS):
            events = page["events"](secret, request["headers"], request["body"])
        types |= {event.get_type() for event in events}
        assert events[0].get_time() <= datetime.now(timezone.utc)
        for secret, body in ((SECRET[:-4] + "AAAA", request["body"]), (SECRET, request["body"] + " ")):
            try:
                page["events"](secret, request["headers"], body)
            except WebhookVerificationError:
                continue
            raise AssertionError("a wrong signature is accepted")
    expected = {"user.created", "user.updated", "user.deleted", "request.created", "friend.added", "block.added"}
    assert expected | {"webhook.test"} <= types, types
    vectors = json.loads((ROOT / "docs/conformance/webhook.json").read_text())["signatures"]
    for vector in vectors:
        secrets = [vector["secret"], *filter(None, [vector.get("previousSecret")])]
        time = datetime.fromtimestamp(vector["timestamp"], timezone.utc)
        signed = " ".join(Webhook(secret).sign(vector["id"], time, vector["body"]) for secret in secrets)
        assert signed == vector["signature"], vector
    print(f"  python: {len(receiver.received)} requests of a webhook, {len(vectors)} vectors")
    given = {"code": code("webhook.mjs", page="events.md"), "secret": SECRET, "previous": PREVIOUS}
    node("webhook.mjs", given=json.dumps({**given, "received": receiver.received, "vectors": vectors}))
