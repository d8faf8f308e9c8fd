"""Open pages' streams end with the access of whoever has them open."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest

from center.accounts import Accounts
from center.clock import CountedIdentifiers, HeldClock
from center.codes import Role, Service
from center.database import Database
from center.identity import SYSTEM
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


def test_a_ct_of_500_slices_is_a_few_words_for_the_clinic_and_none_for_a_list_of_cases(
    accounts: Accounts, database: Database
) -> None:
    accounts.add_person("du", "du", PASSWORD, [("tertiary", Role.READER)], licence="1", scope=[Service.IMAGING])
    accounts.add_agreement("shigou", "tertiary", Service.IMAGING)

    async def run() -> tuple[list[bytes], list[bytes]]:
        feed = Live(database)
        heard: dict[str, list[bytes]] = {"ji": [], "du": []}

        async def yes() -> bool:
            return True

        async def listen(login: str) -> None:
            async for piece in feed.stream(accounts.actor_of(login), yes):
                heard[login].append(piece)

        tasks = [asyncio.create_task(listen(login)) for login in heard]
        await asyncio.sleep(1.0)

        def arrive() -> None:
            with database.transaction(SYSTEM) as work:
                for n in range(500):  # a transaction folds what is the same: each is another text
                    work.tell_pages("shigou", "InstanceArrived", {"study_uid": "2.25.1", "n": n})
                work.tell_pages("shigou", "case", {"case_id": "c"})

        await asyncio.to_thread(arrive)
        for _ in range(100):
            await asyncio.sleep(0.1)
            if any(b'"n": 499' in piece for piece in heard["ji"]) and len(heard["du"]) > 1:
                break
        feed.stop()
        for task in tasks:
            task.cancel()
        return heard["ji"], heard["du"]

    technician, reader = asyncio.run(run())
    arrivals = [piece for piece in technician if b"InstanceArrived" in piece]
    assert 1 <= len(arrivals) <= 4 and b'"n": 499' in arrivals[-1]
    assert [b"InstanceArrived" in piece for piece in reader[1:]] == [False] and b'"case"' in reader[1]


def test_news_of_one_thing_goes_out_once_a_second_and_the_last_word_is_never_lost() -> None:
    now = [0.0]
    pace = live.Pace(lambda: now[0])
    assert pace.may("a", "1") and pace.may("b", "1")
    assert not pace.may("a", "2") and not pace.may("a", "3") and pace.due() == []
    now[0] = 1.0
    assert pace.due() == ["3"] and pace.due() == []
    now[0] = 1.5
    assert not pace.may("a", "4")
    now[0] = 2.5
    assert pace.due() == ["4"]
    now[0] = 9.0
    assert pace.due() == [] and pace.may("a", "5")
