"""What the server API asks of valid requests beyond its document: the rules of its business, each with the reason."""

import time

import schemathesis


@schemathesis.hook
def before_call(context, case, kwargs):
    operation = case.operation.definition.raw.get("operationId")
    path = case.path_parameters or {}
    # Nobody is a friend of itself, asks itself or blocks itself.
    if "peer" in path and path["peer"] == path.get("account"):
        path["peer"] = "another"
    body = case.body
    if not isinstance(body, dict):
        return
    # A revocation is not for tokens that are still to be issued.
    before = body.get("issuedBefore")
    if operation == "revokeTokens" and isinstance(before, int) and 0 <= before < 2**64:
        body["issuedBefore"] = min(before, int(time.time() * 1000))
    # A batch names each account once.
    users = body.get("users")
    if operation == "updateUsers" and isinstance(users, list) and all(isinstance(user, dict) for user in users):
        named, once = set(), []
        for user in users:
            account = user.get("account")
            if not isinstance(account, str) or account not in named:
                once.append(user)
            named.add(str(account))
        body["users"] = once
    # Whole numbers are written as such, without a fraction of zero.
    for holder in [body, *(users if isinstance(users, list) else [])]:
        if isinstance(holder, dict) and isinstance(holder.get("ifVersion"), float):
            if holder["ifVersion"].is_integer():
                holder["ifVersion"] = int(holder["ifVersion"])


@schemathesis.serializer("application/x-ndjson")
def lines(context, value):
    return value if isinstance(value, bytes) else str(value).encode("utf-8", "replace")
