"""The client: a thin asyncio face of the Rust core."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from os import PathLike, fspath
from types import TracebackType
from typing import Any, AsyncIterator, Awaitable, Callable, Iterable, Literal, Optional, Union

from . import _records as records
from ._native import rosterd_ffi
from ._records import Block, Device, FieldValue, Friend, FriendRequest, Gender, Presence, Schema, Session, User

# What UniFFI has written; this file gives it types.
native: Any = rosterd_ffi

Phase = Literal["disconnected", "reconnecting", "connecting", "syncing", "live"]
TokenReason = Literal["connect", "refresh", "expired"]
GetToken = Callable[[TokenReason], Awaitable[str]]


class RosterdError(Exception):
    """A call that failed. `code` and `reason` are those of the protocol; the message is for developers."""

    def __init__(
        self,
        code: int,
        reason: str,
        message: str,
        field: Optional[str] = None,
        retry_after_ms: Optional[int] = None,
        detail: Optional[str] = None,
    ) -> None:
        super().__init__(f"{code} {reason}: {message}")
        self.code = code
        self.reason = reason
        self.message = message
        self.field = field
        self.retry_after_ms = retry_after_ms
        self.detail = detail


class UnauthorizedError(Exception):
    """Raised by `get_token`, says that this user gets no token, whatever is tried: the client ends for good."""


def _error(detail: Any) -> RosterdError:
    return RosterdError(
        detail.code, detail.reason, detail.message, detail.field, detail.retry_after_ms, detail.detail
    )


@dataclass(frozen=True)
class ConnectionState:
    """The connection in detail."""

    phase: Phase
    last_error: Optional[RosterdError]
    retry_at: Optional[datetime]
    session: Optional[str]


@dataclass(frozen=True)
class SignalDelivery:
    """How many sessions a signal reaches; both are 0 unless this account sees the presence of the receiver."""

    delivered: int
    dropped: int


class Snapshot:
    """Everything that a client holds at one moment. It never changes."""

    def __init__(self, held: Any) -> None:
        self._held = held

    @property
    def account(self) -> str:
        return str(self._held.account())

    @property
    def connection(self) -> ConnectionState:
        state = self._held.connection()
        phase: Phase = state.phase.name.lower()
        last_error = None if state.last_error is None else _error(state.last_error)
        return ConnectionState(phase, last_error, state.retry_at, state.session)

    @property
    def me(self) -> Optional[User]:
        """The account's own profile, once it is known, with what is pending."""
        me = self._held.me()
        return None if me is None else records.user(me)

    @property
    def pending(self) -> Optional[dict[str, Any]]:
        """The fields of `me` that the gateway has not confirmed, with their values; `None` if it has confirmed all."""
        pending = self._held.pending()
        return None if pending is None else records.update(pending)

    def user(self, account: str) -> Optional[User]:
        """The profile of an account, if it is held."""
        user = self._held.user(account)
        return None if user is None else records.user(user)

    @property
    def users(self) -> dict[str, User]:
        """All profiles that are held, by account."""
        return {user.account: records.user(user) for user in self._held.users()}

    def friend(self, account: str) -> Optional[Friend]:
        """A friendship, if the account is a friend."""
        friend = self._held.friend(account)
        return None if friend is None else records.friend(friend)

    @property
    def friends(self) -> dict[str, Friend]:
        """The friend list, by account."""
        return {friend.account: records.friend(friend) for friend in self._held.friends()}

    @property
    def requests(self) -> list[FriendRequest]:
        """The open requests of both directions."""
        return [records.request(request) for request in self._held.requests()]

    @property
    def blocks(self) -> dict[str, Block]:
        """The blocks in force, by account."""
        return {block.account: records.block(block) for block in self._held.blocks()}

    @property
    def presence(self) -> dict[str, Presence]:
        """Presence by account. An account that is not in it has never been online."""
        return {presence.account: records.presence(presence) for presence in self._held.presences()}

    @property
    def sessions(self) -> list[Session]:
        """The account's sessions; empty if this one has been the only one since its login."""
        return [records.session(session) for session in self._held.sessions()]

    @property
    def watched(self) -> set[str]:
        """The strangers that are watched."""
        return set(self._held.watched())


@dataclass(frozen=True)
class SnapshotEvent:
    """What the client holds, or its connection, is otherwise. Several changes come as one to a reader that is slow."""

    _change: Any

    @property
    def before(self) -> Snapshot:
        return Snapshot(self._change.before())

    @property
    def after(self) -> Snapshot:
        return Snapshot(self._change.after())

    @property
    def me(self) -> bool:
        """Whether the account's own profile is otherwise, or what is pending of it."""
        return bool(self._change.me())

    @property
    def users(self) -> list[str]:
        """The accounts whose profiles came, changed or went."""
        return list(self._change.users())

    @property
    def friends(self) -> list[str]:
        """The accounts that became friends, are none any more, or have other notes."""
        return list(self._change.friends())

    @property
    def requests(self) -> bool:
        """Whether requests came or ended."""
        return bool(self._change.requests())

    @property
    def ended_requests(self) -> list[FriendRequest]:
        """The requests that were open and are not any more; their `state` says how they ended."""
        return [records.request(request) for request in self._change.ended_requests()]

    @property
    def blocks(self) -> list[str]:
        """The accounts that are blocked, or are not any more."""
        return list(self._change.blocks())

    @property
    def presence(self) -> list[str]:
        """The accounts that came online or went offline."""
        return list(self._change.presence())

    @property
    def sessions(self) -> bool:
        """Whether sessions of the account came or went."""
        return bool(self._change.sessions())

    @property
    def connection(self) -> bool:
        """Whether the connection is otherwise."""
        return bool(self._change.connection())


@dataclass(frozen=True)
class SignalEvent:
    """Another account sent a signal. Its newest profile is in the snapshot already."""

    sender: str
    payload: str


@dataclass(frozen=True)
class ErrorEvent:
    """Something failed that no caller waits for."""

    error: RosterdError


@dataclass(frozen=True)
class MissedEvent:
    """The reader was so slow that so many signals and errors are lost for it. Of what the client holds nothing is."""

    count: int


Event = Union[SnapshotEvent, SignalEvent, ErrorEvent, MissedEvent]


class Changes(AsyncIterator[Event]):
    """All changes since this reader was made, at its own pace."""

    def __init__(self, reader: Any) -> None:
        self._reader = reader

    def __aiter__(self) -> Changes:
        return self

    async def __anext__(self) -> Event:
        change = await self._reader.next()
        if change is None:
            raise StopAsyncIteration
        if change.is_snapshot():
            return SnapshotEvent(change.change)
        if change.is_signal():
            return SignalEvent(change.sender, change.payload)
        if change.is_failure():
            return ErrorEvent(_error(change.error))
        return MissedEvent(change.count)


class Hold:
    """Watches strangers until it is released: `async with client.hold([…])`."""

    def __init__(self, hold: Any) -> None:
        self._hold = hold

    async def release(self) -> None:
        await self._hold.release()

    async def __aenter__(self) -> Hold:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.release()


class _Tokens(native.TokenProvider):  # type: ignore[misc]
    """Asks the application on its event loop; the core asks from a thread of its own, and does not wait there."""

    def __init__(self, get_token: GetToken) -> None:
        self._get_token = get_token
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()

    def ask(self, reason: Any, answer: Any) -> None:
        try:
            self._loop.call_soon_threadsafe(self._begin, reason.name.lower(), answer)
        except RuntimeError as error:  # the loop is closed
            answer.fail(str(error))

    def _begin(self, why: TokenReason, answer: Any) -> None:
        task = self._loop.create_task(self._answer(why, answer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _answer(self, why: TokenReason, answer: Any) -> None:
        try:
            token = await self._get_token(why)
        except UnauthorizedError as error:
            answer.refuse(str(error))
        except Exception as error:
            answer.fail(f"get_token raised {error!r}")
        else:
            if isinstance(token, str):
                answer.supply(token)
            else:
                answer.fail(f"get_token returned no str but {type(token).__name__}")


async def _done(call: Awaitable[Any]) -> Any:
    try:
        return await call
    except native.RosterdException.Failed as failed:
        raise _error(failed.error) from None


class RosterdClient:
    """Keeps the records of one account in sync with the gateway, over as many connections as that takes.

    `async with RosterdClient(url, account) as client:` connects, and disconnects at the end. Cancelling a call's task
    cancels the call: a command that was not sent then is not sent any more; one that was sent may be carried out.
    """

    def __init__(
        self,
        url: str,
        account: str,
        *,
        token: Optional[str] = None,
        get_token: Optional[GetToken] = None,
        cache: Union[str, PathLike[str], None] = None,
        device: Optional[Device] = None,
        authorities: Optional[str] = None,
        request_timeout: float = 8.0,
        backoff: tuple[float, float] = (0.5, 20.0),
        reconnect: bool = True,
        json: bool = False,
    ) -> None:
        """Makes a client that is not connected yet; `get_token` is called on the event loop that runs now.

        `cache` is a folder for a file with what the client holds, `authorities` a PEM text with the certificates to
        accept instead of those that the platform trusts. Times are seconds.
        """
        tokens = None if get_token is None else _Tokens(get_token)
        options = native.ClientOptions(
            url=url,
            account=account,
            token=token,
            device=None if device is None else native.Device(id=device.id, kind=device.type, tag=device.tag),
            cache=None if cache is None else fspath(cache),
            authorities=authorities,
            request_timeout_ms=_milliseconds(request_timeout),
            backoff_min_ms=_milliseconds(backoff[0]),
            backoff_max_ms=_milliseconds(backoff[1]),
            reconnect=reconnect,
            json=json,
        )
        try:
            self._client = native.RosterdClient(options, tokens)
        except native.RosterdException.Failed as failed:
            raise _error(failed.error) from None

    @property
    def snapshot(self) -> Snapshot:
        """Everything that the client holds now."""
        return Snapshot(self._client.snapshot())

    def changes(self) -> Changes:
        """Iterates over all changes from now on."""
        return Changes(self._client.changes())

    async def connect(self) -> None:
        """Reads the cache, connects, and stays connected. Returns once what is held is what the gateway holds.

        It tries again for ever, also if this call is cancelled; it raises if trying again is pointless.
        """
        await _done(self._client.connect())

    async def disconnect(self) -> None:
        """Closes the connection until the next `connect`. Held and cached records stay."""
        await self._client.disconnect()

    async def logout(self) -> None:
        """Ends the session in an orderly way. Held and cached records stay."""
        await self._client.logout()

    async def forget(self) -> None:
        """Ends the session, and wipes all records of the account, cached ones too."""
        await _done(self._client.forget())

    def wake(self) -> None:
        """Says that the network is back: the client tries at once, and looks whether an open connection lives."""
        self._client.wake()

    def cut(self) -> None:
        """Drops the connection as a bad network would. For tests."""
        self._client.cut()

    async def __aenter__(self) -> RosterdClient:
        await self.connect()
        return self

    async def __aexit__(
        self,
        kind: Optional[type[BaseException]],
        error: Optional[BaseException],
        traceback: Optional[TracebackType],
    ) -> None:
        await self.disconnect()

    async def update_my_info(
        self,
        *,
        nick: Optional[str] = None,
        avatar: Optional[str] = None,
        sign: Optional[str] = None,
        gender: Optional[Gender] = None,
        email: Optional[str] = None,
        birth: Optional[str] = None,
        tel: Optional[str] = None,
        custom: Optional[str] = None,
        fields: Optional[dict[str, Optional[FieldValue]]] = None,
        if_version: Optional[int] = None,
        optimistic: bool = False,
        keep: bool = False,
    ) -> User:
        """Changes the given fields of the account's own profile, and returns the new profile. An empty text clears one.

        `fields` are those that the deployment has added; `None` clears one of them.

        After `get_schema`, what the deployment does not allow raises without being sent, and `field` of the error names it.

        `optimistic` shows the change at once, in `snapshot.me` and `snapshot.pending`; if it fails, it is taken back.
        `keep` does the same, and waits for a connection, in the cache too: cancelling this call ends the wait for it only.
        If nobody waits for it when it fails, that is an `ErrorEvent`.
        """
        update = native.ProfileUpdate(
            nick=nick, avatar=avatar, sign=sign, gender=None if gender is None else _gender(gender), email=email,
            birth=birth, tel=tel, custom=custom, if_version=if_version,
            fields={name: _value(value) for name, value in (fields or {}).items()},
        )
        return records.user(await _done(self._client.update_my_info(update, optimistic, keep)))

    async def set_muted(self, account: str, muted: bool) -> None:
        """Mutes an account, or mutes it no longer: on every device, seen by no other. The list is `snapshot.me.muted`."""
        await _done(self._client.set_muted(account, muted))

    async def get_schema(self) -> Schema:
        """Returns the fields that the deployment adds to profiles, and which others only the backend may write.

        From then on, and until a login finds other fields, `update_my_info` sends nothing that is against that.
        """
        return records.schema(await _done(self._client.get_schema()))

    async def get_users(self, accounts: Iterable[str], *, fresh: bool = False) -> tuple[list[User], list[str]]:
        """Returns profiles of any accounts, and the accounts that do not exist."""
        found = await _done(self._client.get_users(list(accounts), fresh))
        return [records.user(user) for user in found.users], list(found.missing)

    async def get_user(self, account: str, *, fresh: bool = False) -> User:
        """Returns one profile; raises 404 if there is no such account."""
        return records.user(await _done(self._client.get_user(account, fresh)))

    async def request_friend(self, account: str, message: str = "") -> None:
        """Requests a friendship. If the other side has requested one too, both become friends."""
        await _done(self._client.request_friend(account, message))

    async def accept_friend(self, account: str) -> None:
        """Accepts the other side's request."""
        await _done(self._client.accept_friend(account))

    async def reject_friend(self, account: str) -> None:
        """Rejects the other side's request."""
        await _done(self._client.reject_friend(account))

    async def cancel_request(self, account: str) -> None:
        """Withdraws this account's request."""
        await _done(self._client.cancel_request(account))

    async def add_friend(self, account: str, message: str = "") -> None:
        """Makes two accounts friends without a request, where the deployment allows that."""
        await _done(self._client.add_friend(account, message))

    async def delete_friend(self, account: str) -> None:
        """Ends a friendship in both directions."""
        await _done(self._client.delete_friend(account))

    async def update_friend(
        self, account: str, *, alias: Optional[str] = None, custom: Optional[str] = None
    ) -> None:
        """Changes the notes about a friend, which only this account sees. An empty text clears one."""
        await _done(self._client.update_friend(account, alias, custom))

    async def block(self, account: str) -> None:
        """Stops everything that this account sends to the other, without notice. A friendship stays."""
        await _done(self._client.block(account))

    async def unblock(self, account: str) -> None:
        """Ends a block."""
        await _done(self._client.unblock(account))

    async def set_presence(self, *, invisible: bool) -> None:
        """Makes this account appear offline to its friends on every device, until it is set again."""
        await _done(self._client.set_presence(invisible))

    async def set_status(self, status: str, *, until: Optional[int] = None) -> None:
        """Shows a text of at most 256 characters beside this account's presence; an empty one ends it.

        It ends at `until`, in milliseconds since 1970, or else when the account goes offline.
        """
        await _done(self._client.set_status(status, until))

    async def get_sessions(self) -> list[Session]:
        """Returns the sessions of this account, the oldest first."""
        return [records.session(session) for session in await _done(self._client.get_sessions())]

    async def kick(self, sessions: Iterable[str]) -> list[str]:
        """Ends other sessions of this account, and returns those that existed."""
        return list(await _done(self._client.kick(list(sessions))))

    async def signal(self, to: str, payload: str) -> SignalDelivery:
        """Sends a text of at most 4096 bytes, at most once, to all sessions of `to`."""
        reached = await _done(self._client.signal(to, payload))
        return SignalDelivery(reached.delivered, reached.dropped)

    async def watch(self, accounts: Iterable[str]) -> list[str]:
        """Replaces the list of strangers whose profiles the client receives; returns those that do not exist yet."""
        return list(await _done(self._client.watch(list(accounts))))

    def hold(self, accounts: Iterable[str]) -> Hold:
        """Watches strangers besides those of `watch` until the hold is released. Holds are counted."""
        return Hold(self._client.hold(list(accounts)))


def _gender(gender: str) -> Any:
    if gender not in ("unknown", "male", "female"):
        raise ValueError(f"gender is 'unknown', 'male' or 'female', not {gender!r}")
    return native.Gender[gender.upper()]


def _value(value: Optional[FieldValue]) -> Any:
    if value is None:
        return native.FieldValue.CLEARED()
    if isinstance(value, bool):
        return native.FieldValue.BOOLEAN(value)
    if isinstance(value, int):
        return native.FieldValue.INTEGER(value)
    if isinstance(value, float):
        return native.FieldValue.NUMBER(value)
    return native.FieldValue.TEXT(value) if isinstance(value, str) else native.FieldValue.LIST(list(value))


def _milliseconds(seconds: float) -> int:
    if not seconds >= 0:
        raise ValueError("a time is a number of seconds, not below 0")
    # More than that is for ever.
    return int(min(seconds, 1e9) * 1000)
