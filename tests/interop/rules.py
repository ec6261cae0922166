"""What the server API asks of valid requests beyond its document: the rules of its business, each with the reason."""

import re
import time
import zlib

import schemathesis

# Accounts that the gateway has.
KNOWN = ["alice", "bob", "carol", "dave"]


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = case.operation.definition.raw.get("operationId")
    path = case.path_parameters or {}
    # Of two accounts made up here neither exists, so half of them become ones that do.
    if "peer" in path and all(re.fullmatch(r"[A-Za-z0-9_@.-]+", str(name)) for name in path.values()):
        for name in ("account", "peer"):
            path[name] = (KNOWN + [path[name]] * len(KNOWN))[zlib.crc32(path[name].encode()) % (2 * len(KNOWN))]
    # Nobody is a friend of itself, asks itself or blocks itself.
    if "peer" in path and path["peer"] == path.get("account"):
        path["peer"] = "erin"
    # The feed would wait for an event that does not come.
    if operation == "readFeed" and str((case.query or {}).get("wait")) in map(str, range(61)):
        case.query["wait"] = 0
    body = case.body
    if not isinstance(body, dict):
        return
    users = body.get("users")
    # Whole numbers are written as such, without a fraction of zero.
    for holder in [body, *(users if isinstance(users, list) else [])]:
        if isinstance(holder, dict):
            holder |= {k: int(v) for k, v in holder.items() if isinstance(v, float) and v.is_integer()}
    # A revocation is not for tokens that are still to be issued.
    before = body.get("issuedBefore")
    if operation == "revokeTokens" and isinstance(before, int) and 0 <= before < 2**64:
        body["issuedBefore"] = min(before, int(time.time() * 1000))
    # A batch names each account once.
    if operation == "updateUsers" and isinstance(users, list) and all(isinstance(user, dict) for user in users):
        named, once = set(), []
        for user in users:
            account = user.get("account")
            if not isinstance(account, str) or account not in named:
                once.append(user)
            named.add(str(account))
        body["users"] = once


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
