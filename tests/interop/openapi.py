"""The document of the server API: valid OpenAPI 3.1, and true of what is answered."""

import json
import urllib.error

from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

# What is asked, in an order in which all of it can be done, with the demo users.
ASKED = [
    ("PUT", "/v1/users/frank", {"nick": "Frank", "gender": "male", "custom": "{}"}),
    ("PATCH", "/v1/users/frank", {"sign": "hi"}),
    ("PUT", "/v1/users/frank/requests/alice", {"message": "hello"}),
    ("GET", "/v1/users/alice/requests", {}),
    ("POST", "/v1/users/alice/requests/frank/accept", {}),
    ("PATCH", "/v1/users/alice/friends/frank", {"alias": "F"}),
    ("GET", "/v1/users/alice/friends", {}),
    ("PUT", "/v1/users/frank/blocks/bob", {}),
    ("GET", "/v1/users/frank/blocks", {}),
    ("GET", "/v1/users/frank/sessions", {}),
    ("PUT", "/v1/users/frank/presence", {"invisible": True}),
    ("GET", "/v1/users/frank/presence", {}),
    ("POST", "/v1/users/frank/hints", {"accounts": ["bob", "nobody"]}),
    ("POST", "/v1/users/frank/signals", {"to": "alice", "payload": "x"}),
    ("POST", "/v1/users:batchGet", {"accounts": ["frank", "nobody"]}),
    ("POST", "/v1/users:batchUpdate", {"users": [{"account": "frank", "nick": "Franky"}]}),
    ("GET", "/v1/users/frank/export", {}),
    ("DELETE", "/v1/users/frank", {}),
    ("GET", "/v1/users/frank", {}),
    ("PATCH", "/v1/users/alice", {"birth": "soon"}),
    ("PATCH", "/v1/users/alice", {"ifVersion": 12345}),
    ("PUT", "/v1/users/alice", {"nickname": "Alice"}),
    ("PUT", "/v1/users/alice/requests/bob", {}),
    ("POST", "/v1/users:batchGet", {"accounts": [f"a{number}" for number in range(151)]}),
]


def main(gateway):
    document = gateway.backend("GET", "/v1/openapi.json")
    assert document["openapi"].startswith("3.1"), document["openapi"]
    OpenAPIV31SpecValidator(document).validate()
    print(f"  openapi: {len(document['paths'])} paths, valid")
    for method, path, body in ASKED:
        operation = document["paths"][template(document, path)][method.lower()]
        try:
            answer, status = gateway.backend(method, path, **body), None
            if "requestBody" in operation:
                check(document, operation["requestBody"], body)
        except urllib.error.HTTPError as error:
            answer, status = json.load(error), str(error.code)
        responses = operation["responses"]
        response = responses[status or next(iter(responses))]
        if reference := response.get("$ref"):
            response = document["components"]["responses"][reference.rsplit("/", 1)[1]]
        check(document, response, answer)
    print(f"  openapi: {len(ASKED)} answers are as it says")


def template(document, path):
    """The path of the document that this one is an instance of; one that is written out goes first."""
    parts = path.split("/")
    same = lambda t: len(t) == len(parts) and all(a == b or a.startswith("{") for a, b in zip(t, parts))
    return next(t for t in sorted(document["paths"], key=lambda t: t != path) if same(t.split("/")))


def check(document, holder, value):
    schema = holder["content"]["application/json"]["schema"]
    OAS31Validator({**schema, "components": document["components"]}).validate(value)
