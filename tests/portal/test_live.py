"""Open pages' streams end with the access of whoever has them open."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from center.accounts import Accounts
from center.clock import CountedIdentifiers, HeldClock
from center.codes import Role
from center.database import Database
from portal import live
from portal.live import Live

PASSWORD = "correct horse"


@pytest.fixture
def accounts(database: Database, clinics: tuple[str, ...], identifiers: CountedIdentifiers) -> Accounts:
    accounts = Accounts(database, HeldClock(datetime.now(UTC)), identifiers)
    for login in ("ji", "li"):
        accounts.add_person(login, login, PASSWORD, [("shigou", Role.TECHNICIAN)])
    return accounts


async def _drained(feed: Live, actor: object, still: live.StillSignedIn, began: asyncio.Event) -> list[bytes]:
    out = []
    async for piece in feed.stream(actor, still):  # type: ignore[arg-type]
        out.append(piece)
        began.set()
    return out


def test_a_stream_ends_at_once_when_the_persons_access_does_and_another_persons_goes_on(
    accounts: Accounts, database: Database
) -> None:
    async def run() -> None:
        feed, begun, other_begun = Live(database), asyncio.Event(), asyncio.Event()

        async def yes() -> bool:
            return True

        his = asyncio.create_task(_drained(feed, accounts.actor_of("ji"), yes, begun))
        others = asyncio.create_task(_drained(feed, accounts.actor_of("li"), yes, other_begun))
        await asyncio.gather(begun.wait(), other_begun.wait())
        await asyncio.sleep(1.0)  # the listener is there
        await asyncio.to_thread(accounts.end_role, "ji", "shigou", Role.TECHNICIAN)
        await asyncio.wait_for(his, 5)
        assert not others.done()
        feed.stop()
        others.cancel()

    asyncio.run(run())


def test_a_stream_whose_session_ran_out_ends_with_the_next_ping(
    accounts: Accounts, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_PING_S", 0.1)

    async def run() -> None:
        feed, asked = Live(database), []

        async def still() -> bool:
            asked.append(1)
            return len(asked) < 3

        pieces = await asyncio.wait_for(_drained(feed, accounts.actor_of("ji"), still, asyncio.Event()), 5)
        assert len(asked) == 3 and pieces[1:] == [b": ping\n\n"] * 2
        feed.stop()

    asyncio.run(run())
