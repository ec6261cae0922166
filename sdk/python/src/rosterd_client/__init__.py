"""A client of rosterd: it keeps a user's profile and friend list in sync with a gateway, live.

`RosterdClient` does what every client of rosterd does by itself: it reconnects, catches up, repairs, renews its token and
keeps a cache. What it holds are immutable snapshots, and `changes()` iterates over what changes.
"""

from ._client import (
    Changes,
    ConnectionState,
    ErrorEvent,
    Hold,
    MissedEvent,
    RosterdClient,
    RosterdError,
    SignalDelivery,
    SignalEvent,
    Snapshot,
    SnapshotEvent,
    UnauthorizedError,
)
from ._records import (
    Block,
    Device,
    FieldSchema,
    FieldType,
    FieldValue,
    FieldVisibility,
    FieldWriter,
    Friend,
    FriendRequest,
    Presence,
    Schema,
    Session,
    User,
)

__all__ = [
    "Block",
    "Changes",
    "ConnectionState",
    "Device",
    "ErrorEvent",
    "FieldSchema",
    "FieldType",
    "FieldValue",
    "FieldVisibility",
    "FieldWriter",
    "Friend",
    "FriendRequest",
    "Hold",
    "MissedEvent",
    "Presence",
    "RosterdClient",
    "RosterdError",
    "Schema",
    "Session",
    "SignalDelivery",
    "SignalEvent",
    "Snapshot",
    "SnapshotEvent",
    "UnauthorizedError",
    "User",
]
