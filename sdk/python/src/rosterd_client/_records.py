"""The records of the protocol. Times are milliseconds since 1970."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, Optional, Union

Gender = Literal["unknown", "male", "female"]
Direction = Literal["in", "out"]
RequestState = Literal["open", "accepted", "rejected", "cancelled", "expired"]
# The value of a field that the deployment has added.
FieldValue = Union[str, int, float, bool, list[str]]
# What the schema says of a field; `unknown` is a word of a gateway that is newer than this client.
FieldType = Literal["text", "integer", "number", "boolean", "list", "unknown"]
FieldVisibility = Literal["everyone", "friends", "self", "unknown"]
FieldWriter = Literal["self", "backend", "unknown"]


@dataclass(frozen=True)
class User:
    """A user's profile."""

    account: str
    nick: str
    avatar: str
    sign: str
    gender: Gender
    email: str
    birth: str
    tel: str
    custom: str
    create_time: int
    update_time: int
    version: int
    # The fields that the deployment has added and that have a value.
    fields: dict[str, FieldValue]
    # Of the own profile: the accounts that this one mutes.
    muted: list[str]


@dataclass(frozen=True)
class Friend:
    """A friendship as this account sees it."""

    account: str
    alias: str
    custom: str
    create_time: int
    update_time: int
    version: int


@dataclass(frozen=True)
class FriendRequest:
    """A request for friendship; `direction` is `in` if the other side asks."""

    account: str
    direction: Direction
    state: RequestState
    message: str
    create_time: int
    update_time: int
    version: int


@dataclass(frozen=True)
class Block:
    """A block in force."""

    account: str
    create_time: int
    version: int


@dataclass(frozen=True)
class Presence:
    """Whether an account is online, and its status; of this account also whether it hides that, of a friend the kinds of its
    devices, if the deployment shows them."""

    account: str
    online: bool
    last_seen: int
    invisible: Optional[bool]
    status: Optional[str] = None
    until: Optional[int] = None
    devices: tuple[str, ...] = ()


@dataclass(frozen=True)
class Device:
    """The description of a session that the account's other sessions see."""

    id: str = ""
    type: str = ""
    tag: str = ""


@dataclass(frozen=True)
class Session:
    """A session of this account; `current` is this one."""

    session: str
    device: Device
    connected_at: int
    current: bool


@dataclass(frozen=True)
class FieldSchema:
    """A field that the deployment has added: what it may hold, who sees it, and who writes it."""

    type: FieldType
    visibility: FieldVisibility
    write: FieldWriter
    # The least and the greatest of a number.
    min: Optional[float] = None
    max: Optional[float] = None
    # The most characters of a text, and of each text of a list.
    max_length: Optional[int] = None
    # The most texts of a list.
    max_items: Optional[int] = None
    # The texts that there are; `None`: any.
    values: Optional[list[str]] = None
    # What a new profile has, and one whose field was cleared.
    default: Optional[FieldValue] = None


@dataclass(frozen=True)
class Schema:
    """The fields of a deployment's profiles. `hash` is another one after every change to it."""

    hash: str
    # The fields that the deployment has added, by their names.
    fields: dict[str, FieldSchema]
    # The other fields of a profile that only the backend may write, such as `nick`.
    backend_only: list[str]


def user(record: Any) -> User:
    gender: Gender = record.gender.name.lower()
    return User(
        account=record.account, nick=record.nick, avatar=record.avatar, sign=record.sign, gender=gender,
        email=record.email, birth=record.birth, tel=record.tel, custom=record.custom,
        create_time=record.create_time, update_time=record.update_time, version=record.version,
        fields={name: field(value) for name, value in record.fields.items()}, muted=list(record.muted),
    )


def field(value: Any) -> Any:
    # A value is one of the kinds, each with one attribute; one that clears a field has none.
    for kind in ("text", "integer", "number", "boolean", "texts"):
        if hasattr(value, kind):
            return getattr(value, kind)
    return None


def schema(record: Any) -> Schema:
    fields = {name: field_schema(field) for name, field in record.fields.items()}
    return Schema(hash=record.hash, fields=fields, backend_only=list(record.backend_only))


def field_schema(record: Any) -> FieldSchema:
    def word(value: Any) -> Any:
        # `self` is the name of something else in Rust.
        return "self" if value.name == "OWN" else value.name.lower()

    default = None if record.default_value is None else field(record.default_value)
    return FieldSchema(
        type=word(record.kind), visibility=word(record.visibility), write=word(record.write),
        min=record.min, max=record.max, max_length=record.max_length, max_items=record.max_items,
        values=list(record.values) or None, default=default,
    )


def update(record: Any) -> dict[str, Any]:
    names = ("nick", "avatar", "sign", "gender", "email", "birth", "tel", "custom")
    found = {name: getattr(record, name) for name in names if getattr(record, name) is not None}
    if "gender" in found:
        found["gender"] = found["gender"].name.lower()
    if record.fields:
        found["fields"] = {name: field(value) for name, value in record.fields.items()}
    return found


def friend(record: Any) -> Friend:
    return Friend(
        account=record.account, alias=record.alias, custom=record.custom,
        create_time=record.create_time, update_time=record.update_time, version=record.version,
    )


def request(record: Any) -> FriendRequest:
    direction: Direction = "in" if record.direction.name == "INCOMING" else "out"
    return FriendRequest(
        account=record.account, direction=direction, state=record.state.name.lower(), message=record.message,
        create_time=record.create_time, update_time=record.update_time, version=record.version,
    )


def block(record: Any) -> Block:
    return Block(account=record.account, create_time=record.create_time, version=record.version)


def presence(record: Any) -> Presence:
    return Presence(
        account=record.account,
        online=record.online,
        last_seen=record.last_seen,
        invisible=record.invisible,
        status=record.status,
        until=record.until,
        devices=tuple(record.devices),
    )


def session(record: Any) -> Session:
    device = Device(id=record.device.id, type=record.device.kind, tag=record.device.tag)
    return Session(session=record.session, device=device, connected_at=record.connected_at, current=record.current)
