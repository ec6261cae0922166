"""A bot that follows the names of its friends: it prints each change of a name, and greets the friend with its own sign.

    python bot.py ws://127.0.0.1:7678/v1/ws alice

Without a third argument, the token, it logs in as to a gateway in development mode, where the token is the account.
It runs until ctrl-c, and comes back by itself whenever its connection is lost.
"""

from __future__ import annotations

import asyncio
import sys

from rosterd_client import ErrorEvent, RosterdClient, RosterdError, Snapshot, SnapshotEvent


def nick(held: Snapshot, account: str) -> str:
    user = held.user(account)
    return user.nick if user else ""


async def greet(client: RosterdClient, name: str) -> None:
    """Sets the bot's own sign, which its friends and other clients receive."""
    try:
        await client.update_my_info(sign=f"Hello, {name}!")
    except RosterdError as error:  # a limit, say: worth a line, but no reason to end
        print(f"could not greet {name}: {error}")


async def main(url: str, account: str, token: str) -> None:
    async with RosterdClient(url, account, token=token) as client:
        changes, held = client.changes(), client.snapshot
        print(f"logged in as {account}, with {len(held.friends)} friends", flush=True)
        for friend in held.friends:
            print(f"  {friend}: {nick(held, friend)}", flush=True)
        async for change in changes:
            if isinstance(change, ErrorEvent):
                print(change.error, flush=True)
            elif isinstance(change, SnapshotEvent):
                for user in change.users:
                    now = nick(change.after, user)
                    if now and now != nick(change.before, user):
                        print(f"{user} is now called {now}", flush=True)
                        await greet(client, now)


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(f"{sys.argv[0]} URL ACCOUNT [TOKEN], for example: bot.py ws://127.0.0.1:7678/v1/ws alice")
    try:
        asyncio.run(main(sys.argv[1], sys.argv[2], sys.argv[-1]))
    except KeyboardInterrupt:
        print("disconnected")
