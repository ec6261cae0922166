"""Clients that generators make of the server API's document: each calls every operation once."""

import importlib
import json
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent

# Every operation with its arguments, in an order in which all of them can be done by three users.
CALLS = [
    ("is_live", {}),
    ("is_ready", {}),
    ("get_metrics", {}),
    ("get_document", {}),
    ("replace_user", {"account": "frank", "body": {"nick": "Frank", "gender": "male", "birth": "1990-05-04"}}),
    ("update_user", {"account": "frank", "body": {"sign": "hi"}}),
    ("get_user", {"account": "frank"}),
    ("list_changes", {"account": "frank", "limit": 10}),
    ("get_users", {"body": {"accounts": ["frank", "nobody"]}}),
    ("update_users", {"body": {"users": [{"account": "grace", "create": True, "nick": "Grace"}]}}),
    ("import_lines", {"body": b'{"friendship": ["frank", "grace"]}\n'}),
    ("list_friends", {"account": "frank", "limit": 10}),
    ("update_friend", {"account": "frank", "peer": "grace", "body": {"alias": "G"}}),
    ("delete_friend", {"account": "frank", "peer": "grace"}),
    ("add_friend", {"account": "frank", "peer": "bob"}),
    ("request_friend", {"account": "frank", "peer": "alice", "body": {"message": "hello"}}),
    ("list_requests", {"account": "alice"}),
    ("reject_friend", {"account": "alice", "peer": "frank"}),
    ("request_friend", {"account": "frank", "peer": "alice", "body": {}}),
    ("cancel_request", {"account": "frank", "peer": "alice"}),
    ("request_friend", {"account": "frank", "peer": "alice", "body": {}}),
    ("accept_friend", {"account": "alice", "peer": "frank"}),
    ("block_user", {"account": "frank", "peer": "carol"}),
    ("list_blocks", {"account": "frank"}),
    ("unblock_user", {"account": "frank", "peer": "carol"}),
    ("mute_user", {"account": "frank", "peer": "carol"}),
    ("unmute_user", {"account": "frank", "peer": "carol"}),
    ("set_token", {"account": "frank", "body": {}}),
    ("delete_token", {"account": "frank"}),
    ("revoke_tokens", {"account": "frank", "body": {"issuedBefore": 1}}),
    ("get_me", {}),
    ("read_live", {}),
    ("list_nodes", {}),
    ("get_schema", {}),
    ("purge_field", {"field": "shoe_size"}),
    ("list_settings", {}),
    ("list_audit", {"limit": 10, "caller": "default"}),
    ("list_sessions", {"account": "frank"}),
    ("list_all_sessions", {"limit": 10}),
    ("get_session", {"session": "0000000000000001"}),
    ("list_users", {"prefix": "f", "limit": 10}),
    ("end_session", {"account": "frank", "session": "0000000000000001"}),
    ("end_sessions", {"account": "frank"}),
    ("set_presence", {"account": "frank", "body": {"invisible": True, "status": "away"}}),
    ("get_presence", {"account": "frank"}),
    ("send_hint", {"account": "frank", "body": {"accounts": ["bob"]}}),
    ("send_signal", {"account": "frank", "body": {"to": "bob", "payload": "x"}}),
    ("explain_delivery", {"account": "frank", "viewer": "bob"}),
    ("export_user", {"account": "frank"}),
    ("delete_user", {"account": "frank"}),
    ("list_hooks", {}),
    ("list_webhooks", {}),
    ("pause_webhook", {"name": "crm"}),
    ("resume_webhook", {"name": "crm"}),
    ("test_webhook", {"name": "crm"}),
    ("replay_webhook", {"name": "crm", "body": {"dead": True}}),
    ("get_webhook", {"name": "crm"}),
    ("list_dead_events", {"name": "crm", "limit": 10}),
    ("delete_dead_event", {"name": "crm", "event": "000000000000000a-1-0"}),
    ("read_snapshot", {"fields": "nick"}),
    ("read_feed", {"after": "now", "types": "user.*"}),
]


def operations(document):
    return {operation["operationId"] for path in document["paths"].values() for operation in path.values()}


def python(gateway, key, document, folder):
    """openapi-python-client."""
    command = [Path(sys.executable).parent / "openapi-python-client", "generate", "--meta", "none"]
    made = subprocess.run(
        [*command, "--path", document, "--output-path", folder / "generated_python"], capture_output=True, text=True
    )
    # It would also tidy its code, and says so if it has nothing to do that with.
    warnings = [line for line in made.stdout.splitlines() if line.startswith(("WARNING", "ERROR"))]
    assert not warnings, made.stdout
    sys.path.insert(0, str(folder))
    package = importlib.import_module("generated_python")
    client = package.AuthenticatedClient(f"http://{gateway.ops}", token=key, raise_on_unexpected_status=True)
    tags = {path.stem: path.parent.name for path in (folder / "generated_python/api").glob("*/*.py")}
    for name, arguments in CALLS:
        module = importlib.import_module(f"generated_python.api.{tags[name]}.{name}")
        if isinstance(arguments.get("body"), dict):
            schema = module.sync_detailed.__annotations__["body"]
            kind = next(kind for kind in getattr(schema, "__args__", [schema]) if hasattr(kind, "from_dict"))
            arguments = {**arguments, "body": kind.from_dict(arguments["body"])}
        elif "body" in arguments:
            arguments = {**arguments, "body": package.types.File(arguments["body"])}
        answer = module.sync_detailed(client=client, **arguments)
        # Nobody is connected.
        expected = (404,) if name == "get_session" else (200, 201)
        assert answer.status_code in expected, (name, answer)
        assert answer.parsed is not None or name == "get_document", (name, answer)
    called = {name.replace("_", "") for name, _ in CALLS}
    missing = [name for name in operations(json.loads(document.read_text())) if name.lower() not in called]
    assert not missing, missing
    print(f"  generated: the Python client calls {len(called)} operations")


def typescript(gateway, key, document, folder):
    """openapi-typescript, with openapi-fetch; the types are checked."""
    binaries = HERE / "node_modules/.bin"
    for file in ("generated.ts", "package.json"):
        (folder / file).write_text((HERE / file).read_text())
    (folder / "node_modules").symlink_to(HERE / "node_modules")
    run = lambda *command, **more: subprocess.run([*map(str, command)], cwd=folder, check=True, timeout=120, **more)
    run(binaries / "openapi-typescript", document, "-o", folder / "schema.d.ts", stdout=subprocess.DEVNULL)
    settings = ["--strict", "--target", "es2022", "--module", "nodenext", "--skipLibCheck", "--types", "node"]
    run(binaries / "tsc", *settings, "--outDir", folder / "built", folder / "generated.ts")
    run("node", folder / "built/generated.js", f"http://{gateway.ops}", key, document)


def main(gateway):
    key = gateway.settings["ops.api_key"]
    folder = Path(gateway.directory.name)
    document = folder / "openapi.json"
    document.write_text(json.dumps(gateway.backend("GET", "/v1/openapi.json")))
    # A gateway with a key has no demo users.
    for account in ("alice", "bob", "carol"):
        gateway.backend("PUT", f"/v1/users/{account}", nick=account)
    python(gateway, key, document, folder)
    gateway.backend("DELETE", "/v1/users/grace")
    typescript(gateway, key, document, folder)
