"""Who sees and does what: row security between two clinics, permission by role, access through a case."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from center import postgres_driver as driver
from center.codes import Role, Service, Urgency
from center.errors import Forbidden, HeldByAnother, NotFound
from center.identity import Actor, system_for
from tests.worklist.bench import HELAN, PASSWORD, SHIGOU, TERTIARY, Bench, finding, person, reader
from worklist.records import CaseRow, DraftContent, RequestForm
from worklist.room import SUBSCRIPTIONS, Worklist

READER, OTHER = reader(), reader("other")
ROLES = [r for r in Role if r is not Role.READER]


# ---------------------------------------------------------------- row security
def test_every_clinic_table_has_row_security_that_holds_its_owner_too(bench: Bench) -> None:
    rows = bench.query(
        "select relname, relrowsecurity, relforcerowsecurity from pg_class where relkind = 'r'"
        " and relnamespace = 'worklist'::regnamespace"
    )
    assert {name for name, *_ in rows if name != "qr"} == {name for name, on, forced in rows if on and forced}


def test_keys_of_clinic_tables_begin_with_the_clinic(bench: Bench) -> None:
    rows = bench.query(
        "select t.relname, a.attname from pg_index i join pg_class t on t.oid = i.indrelid"
        " join pg_attribute a on a.attrelid = t.oid and a.attnum = i.indkey[0]"
        " where i.indisunique and t.relnamespace = 'worklist'::regnamespace and t.relname <> 'qr'"
    )
    assert rows and all(column == "clinic_id" for _, column in rows)


def test_one_clinic_never_sees_or_writes_the_other_s_rows(bench: Bench) -> None:
    case = bench.arrive(SHIGOU)
    lease = bench.reading(READER, case)
    bench.room.raise_alert(READER, case.case_id, "气胸")
    bench.sign(READER, lease, "气胸。")
    bench.run()
    tables = [r[0] for r in bench.query("select relname from pg_class where relkind = 'r' and relrowsecurity"
                                        " and relnamespace = 'worklist'::regnamespace")]  # fmt: skip
    with bench.database.transaction(system_for(HELAN)) as work:
        for table in tables:
            assert work.all(f'select 1 from worklist."{table}"') == [], table
        assert work.run("update worklist.\"case\" set patient_name = 'x'") == 0
        assert work.run("delete from worklist.draft") == 0
    with pytest.raises(Exception, match="row-level security"):
        with bench.database.transaction(system_for(HELAN)) as work:
            work.run(
                "insert into worklist.opening (clinic_id, case_id, version, person_id, at)"
                " values ('shigou', %(c)s, 1, 'x', now())", c=case.case_id,
            )  # fmt: skip


def test_history_and_ledger_are_never_changed_by_a_running_process(bench: Bench) -> None:
    bench.arrive()
    for table in ("case_event", "alert_notice", "delivery_attempt", "opening", "qr"):
        for act in (f"delete from worklist.{table}", f"update worklist.{table} set clinic_id = clinic_id"):
            with pytest.raises(Exception, match="permission denied"):
                with bench.database.transaction(system_for(SHIGOU)) as work:
                    work.run(act)


def test_the_dispatchers_views_hold_no_patient(bench: Bench) -> None:
    rows = bench.query(
        "select table_name, column_name from information_schema.columns where table_schema = 'worklist'"
        " and table_name in ('board', 'board_task', 'board_alert', 'board_notice', 'qr_page')"
    )
    assert {t for t, _ in rows} == {"board", "board_task", "board_alert", "board_notice", "qr_page"}
    names = [c for t, c in rows if c.startswith("patient_")]
    assert names == ["patient_name"]  # board_alert's, which is always empty
    case = bench.arrive()
    bench.reading(READER, case)
    bench.room.raise_alert(READER, case.case_id, "气胸")
    board = bench.room.board(person(Role.DISPATCHER, HELAN))
    assert "马忆舟" not in repr(board) and case.patient_local_id not in repr(board)
    assert [c.case_no for c in board.cases] == [case.case_no]


def test_queries_name_no_other_rooms_schema() -> None:
    from worklist.store import SQL

    for name in SQL:
        assert "gateway." not in SQL[name] and "inference." not in SQL[name], name


def test_every_statement_is_one_that_the_database_takes(bench: Bench) -> None:
    """Prepared with nulls for its parameters: a statement that no other test runs is checked all the same."""
    import re

    from worklist.store import SQL

    with driver.connect(bench.admin) as connection:
        for name in SQL:
            names: dict[str, int] = {}
            text = re.sub(
                r"%\((\w+)\)s", lambda m, names=names: f"${names.setdefault(m[1], len(names) + 1)}", SQL[name]
            )
            connection.execute(f"prepare {name} as {text.replace('%%', '%')}".encode())


# ---------------------------------------------------------------- permission by role
def _acts(
    room: Worklist, case: CaseRow, alert_id: str, token: str
) -> dict[str, tuple[Callable[[Actor], Any], set[Role]]]:
    """Each thing that can be asked for, and the roles of the clinic (besides its readers) that may."""
    c = case.case_id
    clinic = {Role.TECHNICIAN, Role.CLINIC_DOCTOR}
    return {
        "list": (lambda a: room.list_cases(a), set()),
        "next": (lambda a: room.next_case(a), set()),
        "case": (lambda a: room.case(a, c), clinic),
        "take_next": (lambda a: room.take_next(a), set()),
        "take": (lambda a: room.take(a, c, "x"), set()),
        "open": (lambda a: room.open_case(a, c, token), set()),
        "renew": (lambda a: room.renew(a, c, token), set()),
        "release": (lambda a: room.release(a, c, token), set()),
        "reassign": (lambda a: room.reassign(a, c, "x"), {Role.DISPATCHER}),
        "raise": (lambda a: room.raise_urgency(a, c, Urgency.STAT, "x"), clinic | {Role.DISPATCHER}),
        "cancel": (lambda a: room.cancel(a, c, "x"), clinic),
        "quality": (lambda a: room.reject_quality(a, c, token, "x"), set()),
        "see": (lambda a: room.see_images(a, c, token, 1), set()),
        "draft": (lambda a: room.save_draft(a, c, token, DraftContent("x"), 0), set()),
        "verdict": (lambda a: room.write_verdict(a, c, token, "r", "k", "accepted"), set()),
        "preview": (lambda a: room.preview(a, c, token), set()),
        "preview_pdf": (lambda a: room.preview_pdf(a, c, token, "x"), set()),
        "sign": (lambda a: room.sign(a, c, token, "x", PASSWORD), set()),
        "amend": (lambda a: room.amend(a, c, "x"), set()),
        "withdraw": (lambda a: room.withdraw(a, c, "x", wrong_patient=True), set()),
        "versions": (lambda a: room.versions(a, c), clinic),
        "alert": (lambda a: room.raise_alert(a, c, "x"), set()),
        "acknowledge": (
            lambda a: room.acknowledge_alert(a, alert_id, read_back="x", receiver="x"),
            {Role.CLINIC_DOCTOR, Role.DISPATCHER},
        ),
        "close_alert": (lambda a: room.close_alert(a, alert_id, "x"), {Role.CLINIC_DOCTOR, Role.DISPATCHER}),
        "refute": (lambda a: room.refute_alert(a, alert_id, "x"), set()),
        "request": (lambda a: room.write_request(a, SHIGOU, RequestForm(name="x")), clinic),
        "rows": (lambda a: room.clinic_rows(a, SHIGOU), clinic),
        "board": (lambda a: room.board(a), {Role.DISPATCHER}),
        "tasks": (lambda a: room.tasks(a), set()),
        "images": (lambda a: room.through_case(a, c), set()),
    }


def _refused(act: Callable[[Actor], Any], actor: Actor) -> bool:
    try:
        act(actor)
    except (Forbidden, NotFound):
        return True
    except Exception:  # something else is wrong with it: he was let through the door
        return False
    return False


def test_every_act_is_refused_to_every_role_that_may_not_do_it(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    alert = bench.room.raise_alert(READER, case.case_id, "气胸")
    for name, (act, allowed) in _acts(bench.room, case, alert.alert_id, lease.token).items():
        for role in ROLES:
            if role not in allowed:
                assert _refused(act, person(role, SHIGOU)), (name, role)
            if role is not Role.DISPATCHER:
                assert name == "tasks" or _refused(act, person(role, HELAN)), (name, role, "other clinic")
        if name not in ("list", "next", "take_next", "tasks"):
            assert _refused(act, reader("stranger", HELAN)), (name, "reader of another clinic")
            assert _refused(act, reader("heart", SHIGOU, service=Service.ECG)), (name, "reader of another service")
        assert _refused(act, Actor(READER.person_id, "x", "x")), (name, "nobody")
    assert bench.now_is(case).lease_token == lease.token  # nothing of all this did anything


def test_every_act_is_let_through_for_the_roles_that_may(bench: Bench) -> None:
    case = bench.arrive()
    lease = bench.reading(READER, case)
    alert = bench.room.raise_alert(READER, case.case_id, "气胸")
    for name, (act, allowed) in _acts(bench.room, case, alert.alert_id, lease.token).items():
        for role in allowed:
            assert not _refused(act, person(role, SHIGOU)), (name, role)


# ---------------------------------------------------------------- access through a case
def test_images_open_only_for_the_holder_while_a_case_is_unfinished(bench: Bench) -> None:
    case = bench.arrive()
    with pytest.raises(HeldByAnother):
        bench.room.through_case(READER, case.case_id)
    bench.reading(READER, case)
    grant = bench.room.through_case(READER, case.case_id)
    assert grant.holds_lease and grant.study_uids == (case.study_uid,)
    with pytest.raises(HeldByAnother):
        bench.room.through_case(OTHER, case.case_id)
    bench.later(minutes=11)
    with pytest.raises(HeldByAnother):
        bench.room.through_case(READER, case.case_id)


def test_a_finished_case_opens_for_every_reader_in_reach(bench: Bench) -> None:
    case = bench.arrive()
    bench.signed(READER, case)
    assert not bench.room.through_case(OTHER, case.case_id).holds_lease
    with pytest.raises(NotFound):
        bench.room.through_case(reader("stranger", HELAN), case.case_id)
    with pytest.raises(Forbidden):
        bench.room.through_case(person(Role.TECHNICIAN), case.case_id)


def test_priors_are_seen_through_the_case_that_one_holds(bench: Bench) -> None:
    old = bench.arrive()
    study = bench.studies.known[SHIGOU, old.study_uid]
    case = bench.arrive(patient=study.patient)
    assert bench.room.may_see(READER, SHIGOU, old.study_uid) is None
    bench.reading(READER, case)
    grant = bench.room.may_see(READER, SHIGOU, old.study_uid)
    assert grant is not None and grant.case_id == case.case_id and old.study_uid in grant.prior_study_uids
    assert bench.room.may_see(READER, HELAN, old.study_uid) is None
    assert bench.room.may_see(READER, SHIGOU, "9.9.9") is None
    assert bench.room.case(READER, case.case_id).prior_cases[old.study_uid].case_id == old.case_id


# ---------------------------------------------------------------- the list
def test_the_list_is_narrowed_and_counted(bench: Bench) -> None:
    first = bench.arrive()
    second = bench.arrive(HELAN, modalities=frozenset({"CT"}))
    bench.machine_reads(second, finding("x", critical=True))
    shown = bench.room.list_cases(READER)
    assert [c.case_id for c in shown.rows] == [second.case_id, first.case_id] and shown.total == 2
    assert (shown.counts["all"], shown.counts["stat"], shown.counts["waiting"], shown.counts["mine"]) == (2, 1, 2, 0)
    for view, expected in (("stat", [second]), ("waiting", [second, first]), ("mine", []), ("finished", [])):
        found = bench.room.list_cases(READER, _filter(view=view)).rows
        assert [c.case_id for c in found] == [c.case_id for c in expected], view
    for text, expected in (("马忆", 2), ("mayi", 2), ("ma yi", 2), ("MRN1", 1), ("%", 0), ("_", 0), ("\\", 0)):
        assert bench.room.list_cases(READER, _filter(text=text)).total == expected, text
    assert bench.room.list_cases(READER, _filter(modality="CT")).total == 1
    assert bench.room.list_cases(READER, _filter(clinic_id="helan")).total == 1
    assert bench.room.list_cases(READER, _filter(flag="machine_critical")).total == 1
    assert bench.room.list_cases(reader("reader", SHIGOU)).total == 1
    assert len(bench.room.list_cases(READER, limit=1).rows) == 1
    bench.signed(READER, first)
    assert [c.case_id for c in bench.room.list_cases(READER, _filter(view="finished")).rows] == [first.case_id]


def _filter(**values: Any) -> Any:
    from worklist.records import ListFilter

    return replace(ListFilter(), **values)


def test_the_database_orders_as_the_rule_does(bench: Bench) -> None:
    from worklist import routing

    cases = [bench.arrive() for _ in range(4)]
    for n, case in enumerate(cases):
        if n % 2:
            bench.room.raise_urgency(person(Role.TECHNICIAN), case.case_id, Urgency.URGENT, "x")
    shown = bench.room.list_cases(READER).rows
    assert shown == routing.in_order(shown)
    assert bench.room.next_case(READER) == routing.next_for(READER, shown)


# ---------------------------------------------------------------- the table of handlers
def test_every_subscription_names_a_handler_of_the_room(bench: Bench) -> None:
    assert {name for names in SUBSCRIPTIONS.values() for name in names} <= set(bench.room.handlers)
    assert {n.split(".")[0] for n in bench.room.handlers} == {"worklist"}
    assert TERTIARY not in {c for c, _ in bench.studies.known}
