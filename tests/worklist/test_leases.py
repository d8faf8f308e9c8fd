"""Property 8, one_holder: under any interleaving one token is valid; a stale one writes nothing."""

from __future__ import annotations

import threading
from collections.abc import Callable
from datetime import timedelta

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from center.codes import Role, Service
from center.errors import Failure, Forbidden, HeldByAnother, Invalid, NotFound, OverLimit, Unavailable, WrongState
from center.identity import Actor, CaseId, LeaseToken
from tests.worklist.bench import HELAN, PASSWORD, SHIGOU, Bench, finding, person, reader
from worklist.lifecycle import CaseState
from worklist.records import DraftContent, Lease, Signed

READER, OTHER = reader(), reader("other")


def test_the_next_case_is_the_most_urgent_one(bench: Bench) -> None:
    bench.arrive()
    urgent = bench.arrive()
    bench.machine_reads(urgent, finding("x", critical=True))
    peeked = bench.room.next_case(READER)
    lease = bench.room.take_next(READER)
    assert peeked and lease and lease.case_id == urgent.case_id == peeked.case_id
    now = bench.now_is(urgent)
    assert (now.state, now.lease_by) == (CaseState.LEASED, "reader")
    assert lease.until == bench.clock.now() + timedelta(seconds=60)


def test_next_is_his_own_held_case_where_that_is_more_urgent(bench: Bench) -> None:
    urgent = bench.arrive()
    bench.machine_reads(urgent, finding("x", critical=True))
    lease = bench.room.take_next(READER)
    waiting = bench.arrive()
    offered, again = bench.room.next_case(READER), bench.room.take_next(READER)
    assert lease and again and offered and offered.case_id == again.case_id == urgent.case_id
    assert again.token == lease.token and bench.now_is(waiting).state is CaseState.QUEUED
    bench.machine_reads(waiting, finding("x", critical=True))  # as urgent as his: he takes it too
    taken = bench.room.take_next(READER)
    assert taken and taken.case_id == waiting.case_id


def test_nothing_waits_nothing_is_given(bench: Bench) -> None:
    assert bench.room.take_next(READER) is None


def test_a_reader_gets_only_what_agreement_and_licence_cover(bench: Bench) -> None:
    case = bench.arrive(HELAN)
    ecg = bench.arrive(SHIGOU, modalities=frozenset({"ECG"}))
    assert bench.room.take_next(reader("reader", SHIGOU)) is None
    heart = bench.room.take_next(reader("heart", SHIGOU, service=Service.ECG))
    assert heart and heart.case_id == ecg.case_id and heart.idle_s == 300
    with pytest.raises(NotFound):
        bench.room.take(reader("reader", SHIGOU), case.case_id, "想读")
    with pytest.raises(Forbidden):
        bench.room.take(reader("reader", HELAN, service=Service.ECG), case.case_id, "想读")


def test_another_than_the_next_needs_a_reason_and_fits_three_times_into_a_shift(bench: Bench) -> None:
    first = bench.arrive()
    with_reason = [bench.arrive(completed_at=bench.clock.now() + timedelta(minutes=n)) for n in range(1, 6)]
    with pytest.raises(Invalid):
        bench.room.take(READER, with_reason[0].case_id)
    for case in with_reason[:3]:
        lease = bench.room.take(READER, case.case_id, "会诊")
        bench.room.release(READER, case.case_id, lease.token)
    with pytest.raises(OverLimit):
        bench.room.take(READER, with_reason[3].case_id, "会诊")
    assert bench.room.take(READER, first.case_id).case_id == first.case_id  # the next one needs none
    bench.room.release(READER, first.case_id, bench.room.take(READER, first.case_id).token)
    bench.later(minutes=8 * 60 + 1)
    bench.room.take(READER, with_reason[3].case_id, "会诊")


def test_three_cases_at_once_and_no_more(bench: Bench) -> None:
    for _ in range(4):
        bench.arrive()
    for _ in range(3):
        bench.room.take_next(READER)
    with pytest.raises(OverLimit):
        bench.room.take_next(READER)


def test_no_leases_while_the_clock_is_not_trusted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    case = bench.arrive()
    monkeypatch.setattr(type(bench.clock), "trusted", False)
    with pytest.raises(Unavailable):
        bench.room.take_next(READER)
    with pytest.raises(Unavailable):
        bench.room.take(READER, case.case_id)


def test_a_held_case_says_who_holds_it_and_until_when(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    with pytest.raises(HeldByAnother) as caught:
        bench.room.take(OTHER, case.case_id, "想读")
    assert caught.value.facts["holder"] == READER.name
    assert caught.value.facts["until"] == lease.until.isoformat()


def test_taking_again_gives_the_same_lease(bench: Bench) -> None:
    case = bench.arrive()
    assert bench.room.take(READER, case.case_id).token == bench.room.take(READER, case.case_id).token


def test_a_lapsed_lease_returns_at_its_old_due_time(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    bench.write(READER, lease, "写了一半")
    bench.later(minutes=9)
    assert bench.now_is(case).state is CaseState.READING
    bench.later(minutes=2)
    now = bench.now_is(case)
    assert (now.state, now.due_at, now.lease_by) == (CaseState.QUEUED, case.due_at, "")
    again = bench.room.take(READER, case.case_id)
    detail = bench.room.case(READER, again.case_id)
    assert detail.draft is not None and detail.draft.content.impression == "写了一半"


def test_an_unanswered_offer_lapses_and_a_heartbeat_does_not_hold_it(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.room.take(READER, case.case_id)
    bench.later(minutes=9)
    assert bench.room.renew(READER, case.case_id, lease.token).until == lease.until
    bench.later(minutes=2)
    assert bench.now_is(case).state is CaseState.QUEUED


def test_activity_renews_and_a_mere_heartbeat_does_not(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    bench.later(minutes=8)
    renewed = bench.room.renew(READER, case.case_id, lease.token)
    assert renewed.until == bench.clock.now() + timedelta(minutes=10)
    bench.later(minutes=8)
    assert bench.room.renew(READER, case.case_id, lease.token, active=False).until == renewed.until
    bench.later(minutes=3)
    with pytest.raises(HeldByAnother):
        bench.room.renew(READER, case.case_id, lease.token)


def test_an_urgent_case_comes_back_soon_from_a_reader_who_is_offline(bench: Bench) -> None:
    case = bench.arrive()
    bench.machine_reads(case, finding("x", critical=True))
    lease = bench.reading(READER, case)
    assert bench.room.renew(READER, case.case_id, lease.token).until == bench.clock.now() + timedelta(seconds=210)
    bench.later(seconds=220)
    assert bench.now_is(case).state is CaseState.QUEUED


def test_the_end_of_a_lease_counts_before_its_job_has_run(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    bench.clock.advance(11 * 60)
    with pytest.raises(HeldByAnother):
        bench.room.save_draft(READER, case.case_id, lease.token, DraftContent("晚了"), 0)
    taken = bench.room.take(OTHER, case.case_id)
    assert taken.token != lease.token
    bench.run()
    assert bench.now_is(case).lease_by == "other"  # the old lease's job leaves the new one alone


def test_text_of_a_stale_token_is_kept_as_an_orphan(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    bench.room.release(READER, case.case_id, lease.token)
    bench.reading(OTHER, case)
    with pytest.raises(HeldByAnother):
        bench.room.save_draft(READER, case.case_id, lease.token, DraftContent("不能丢"), 0)
    mine = bench.room.case(READER, case.case_id).other_drafts
    assert [(d.content.findings, d.orphan) for d in mine] == [("不能丢", True)]
    assert not bench.room.case(OTHER, case.case_id).other_drafts


def test_a_made_up_token_keeps_nothing(bench: Bench) -> None:
    case = bench.arrive()
    bench.reading(READER, case)
    with pytest.raises(HeldByAnother):
        bench.room.save_draft(OTHER, case.case_id, "made-up", DraftContent("假"), 0)
    assert bench.query("select count(*) from worklist.draft") == [(1,)]


def test_two_windows_of_one_reader_do_not_overwrite_each_other(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    first = bench.room.save_draft(READER, case.case_id, lease.token, DraftContent("一"), 0)
    with pytest.raises(WrongState) as caught:
        bench.room.save_draft(READER, case.case_id, lease.token, DraftContent("二"), 0)
    assert caught.value.facts["current"] == first.version == 1


def test_a_dispatcher_takes_a_case_back(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    bench.room.reassign(person(Role.DISPATCHER, HELAN), case.case_id, "医师离岗")
    assert bench.now_is(case).state is CaseState.QUEUED
    with pytest.raises(HeldByAnother):
        bench.room.renew(READER, case.case_id, lease.token)


def test_nobody_else_sees_the_token(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    assert bench.room.case(READER, case.case_id).token == lease.token
    assert bench.room.case(OTHER, case.case_id).case.lease_token == ""
    assert all(not c.lease_token for c in bench.room.list_cases(OTHER).rows)


# ---------------------------------------------------------------- property 8
def race(*acts: Callable[[], object]) -> list[object]:
    """What came of each, all begun at once."""
    gate, results = threading.Barrier(len(acts)), [None] * len(acts)

    def run(n: int) -> None:
        gate.wait()
        try:
            results[n] = acts[n]()  # type: ignore[call-overload]
        except Failure as failure:
            results[n] = failure  # type: ignore[call-overload]

    threads = [threading.Thread(target=run, args=(n,)) for n in range(len(acts))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    return results


def test_ten_readers_at_once_and_one_holder(bench: Bench) -> None:
    case = bench.arrive()
    readers = [reader(f"r{n}") for n in range(10)]
    got = race(*[lambda a=a: bench.room.take(a, case.case_id, "抢") for a in readers])
    leases = [g for g in got if isinstance(g, Lease)]
    assert len(leases) == 1
    assert all(isinstance(g, HeldByAnother) for g in got if not isinstance(g, Lease))
    assert bench.now_is(case).lease_token == leases[0].token


def test_ten_readers_taking_the_next_get_ten_cases(bench: Bench) -> None:
    for _ in range(10):
        bench.arrive()
    got = race(*[lambda a=reader(f"r{n}"): bench.room.take_next(a) for n in range(10)])
    ids = [g.case_id for g in got if isinstance(g, Lease)]
    assert len(ids) == len(set(ids)) == 10


def test_one_reader_in_ten_windows_never_holds_more_than_three(bench: Bench) -> None:
    for _ in range(10):
        bench.arrive()
    got = race(*[lambda: bench.room.take_next(READER) for _ in range(10)])
    assert len({g.case_id for g in got if isinstance(g, Lease)}) == 3
    assert bench.query('select count(*) from worklist."case" where lease_by = %s', "reader") == [(3,)]


def test_two_signatures_at_once_make_one_version(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    preview = bench.write(READER, lease)
    sign = lambda: bench.room.sign(READER, case.case_id, lease.token, preview.sha256, PASSWORD)  # noqa: E731
    got = race(sign, sign)
    assert [g.version for g in got if isinstance(g, Signed)] == [1, 1]  # a button pressed twice: both hear of the one
    assert bench.query("select n from worklist.report_version") == [(1,)]


STEPS = ("take", "open", "renew", "save", "release", "lapse", "wait", "cancel", "job")


@settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(STEPS), st.integers(0, 1)), min_size=3, max_size=10))
def test_under_any_interleaving_one_token_is_valid(bench: Bench, steps: list[tuple[str, int]]) -> None:
    case = bench.arrive()
    readers = (READER, OTHER)
    tokens: dict[int, list[LeaseToken]] = {0: [], 1: []}
    for step, who in steps:
        before = bench.now_is(case)
        token = tokens[who][-1] if tokens[who] else LeaseToken("none")
        others = _written(bench, case.case_id, besides=token)
        try:
            _do(bench, step, readers[who], case.case_id, token, tokens[who])
        except Failure:
            after = bench.now_is(case)
            assert (after.state, after.lease_token) == (before.state, before.lease_token) or step == "take"
            kept = bench.query("select orphan from worklist.draft where lease_token = %s", token)
            assert step != "save" or not kept or kept[0][0]  # a refused save is an orphan, or nothing
        now = bench.now_is(case)
        given_out = {t for ts in tokens.values() for t in ts}
        valid = {t for t in given_out if now.lease_token == t and now.held_at(bench.clock.now())}
        assert len(valid) <= 1
        assert not (set(tokens[0]) & set(tokens[1]))
        assert (now.lease_token == "") == (now.state not in (CaseState.LEASED, CaseState.READING))
        assert step == "take" or _written(bench, case.case_id, besides=token) == others
    bench.clock.advance(7200)  # leases of this example do not count for the next
    bench.run()


def _do(bench: Bench, step: str, actor: Actor, case_id: CaseId, token: LeaseToken, tokens: list[LeaseToken]) -> None:
    room = bench.room
    if step == "take":
        bench.clock.advance(9 * 3600 if bench.query("select count(*) from worklist.case_event")[0][0] > 40 else 0)
        tokens.append(room.take(actor, case_id, "先读").token)
    elif step == "open":
        room.open_case(actor, case_id, token)
    elif step == "renew":
        room.renew(actor, case_id, token)
    elif step == "save":
        found = bench.query("select version from worklist.draft where lease_token = %s", token)
        room.save_draft(actor, case_id, token, DraftContent(str(bench.clock.now())), found[0][0] if found else 0)
    elif step == "release":
        room.release(actor, case_id, token)
    elif step == "lapse":
        bench.later(minutes=11)
    elif step == "wait":
        bench.clock.advance(5 * 60)
    elif step == "cancel":
        room.cancel(person(Role.TECHNICIAN), case_id, "取消")
    else:
        bench.run()


def _written(bench: Bench, case_id: str, *, besides: str) -> list[tuple[object, ...]]:
    """Drafts of all leases but this one."""
    return bench.query(
        "select lease_token, version, content, orphan from worklist.draft where case_id = %s and lease_token <> %s"
        " order by 1", case_id, besides,
    )  # fmt: skip
