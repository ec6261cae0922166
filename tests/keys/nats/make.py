"""Makes the files beside it: what a NATS server in operator mode needs, and the credentials of two users.

The server knows the account of gateway.creds, and that user may publish and subscribe to what gateways need, alone.
The account of stranger.creds it does not know. Needs Python's `cryptography`.
"""

import base64
import json
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

HERE = Path(__file__).parent
FEEDS = {"allow": ["rosterd.*.feed"]}
UNLIMITED = {name: -1 for name in ("subs", "data", "payload", "imports", "exports", "conn", "leaf")}
SEED = 18 << 3
PREFIXES = {"operator": 14 << 3, "account": 0, "user": 20 << 3}


def text(data: bytes) -> str:
    """The form of NATS: base32 with a checksum (CRC-16, XMODEM) at the end."""
    crc = 0
    for byte in data:
        crc ^= byte << 8
        for _ in range(8):
            crc = (crc << 1 ^ 0x1021 if crc & 0x8000 else crc << 1) & 0xFFFF
    return base64.b32encode(data + crc.to_bytes(2, "little")).decode().rstrip("=")


class Key:
    def __init__(self, kind: str) -> None:
        self.private, self.prefix = Ed25519PrivateKey.generate(), PREFIXES[kind]
        public = self.private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)
        self.public = text(bytes([self.prefix]) + public)

    def seed(self) -> str:
        return text(bytes([SEED | self.prefix >> 5, (self.prefix & 31) << 3]) + self.private.private_bytes_raw())

    def sign(self, subject: "Key", name: str, nats: dict) -> str:
        """A JWT about a key."""
        claims = {"jti": name, "iat": 1700000000, "iss": self.public, "name": name, "sub": subject.public}
        parts = [{"typ": "JWT", "alg": "ed25519-nkey"}, claims | {"nats": nats | {"version": 2}}]
        encode = lambda data: base64.urlsafe_b64encode(data).decode().rstrip("=")
        signed = ".".join(encode(json.dumps(part).encode()) for part in parts)
        return f"{signed}.{encode(self.private.sign(signed.encode()))}"


def credentials(account: Key, name: str) -> None:
    user = Key("user")
    limits = {"type": "user", "pub": FEEDS, "sub": FEEDS, "subs": -1, "data": -1, "payload": -1}
    (HERE / f"{name}.creds").write_text(
        f"-----BEGIN NATS USER JWT-----\n{account.sign(user, name, limits)}\n------END NATS USER JWT------\n\n"
        f"-----BEGIN USER NKEY SEED-----\n{user.seed()}\n------END USER NKEY SEED------\n"
    )


operator, known, unknown = Key("operator"), Key("account"), Key("account")
account = operator.sign(known, "rosterd", {"type": "account", "limits": UNLIMITED | {"wildcards": True}})
(HERE / "operator.conf").write_text(
    f"operator: {operator.sign(operator, 'tests', {'type': 'operator'})}\nresolver: MEMORY\n"
    f"resolver_preload: {{ {known.public}: {account} }}\n"
)
credentials(known, "gateway")
credentials(unknown, "stranger")
