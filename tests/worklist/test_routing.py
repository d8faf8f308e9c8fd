"""Properties 7 and 9: a machine only raises; the order is total."""

from __future__ import annotations

import random
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from center.codes import Service, Urgency
from center.identity import CaseId, ClinicId
from center.ports import StoredRead
from center.reads import Critical, Decision, Finding, Outcome, PreliminaryRead, Reason, Tier
from tests.worklist.bench import HELAN, SHIGOU, finding, reader
from worklist import routing
from worklist.lifecycle import CaseState
from worklist.records import CaseRow, MachineFlag
from worklist.routing import Priority
from worklist.sheet import Text
from worklist.timing import Timing

T2 = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
instants = st.integers(0, 500).map(lambda n: T2 + timedelta(minutes=n))
urgencies = st.sampled_from(list(Urgency))


def row(case_id: str, urgency: Urgency, due_at: datetime, clinic: ClinicId = SHIGOU, **more: object) -> CaseRow:
    values: dict[str, object] = {
        "case_id": CaseId(case_id),
        "clinic_id": clinic,
        "clinic_name": "",
        "clinic_name_en": "",
        "case_no": "",
        "study_uid": "1",
        "service": Service.IMAGING,
        "state": CaseState.QUEUED,
        "urgency": urgency,
        "due_at": due_at,
        "completed_at": T2,
        "patient_id": "",
        "patient_name": "",
        "patient_pinyin": "",
        "patient_local_id": "",
        "patient_sex": "",
        "patient_birth_date": date(1959, 4, 2),
        "patient_age_years": None,
        "modality": "DX",
        "exam": "",
        "body_part": "",
        "laterality": "",
        "images": 1,
        "study_at": None,
        "accession": "",
        "referring": "",
        "question": "",
        "history": "",
        "flags": frozenset[str](),
        "machine": MachineFlag(),
        "generation": 1,
        "seen_generation": 1,
        "facts_n": 1,
        "version": 0,
        "lease_n": 0,
        "lease_by": "",
        "lease_by_name": "",
        "lease_since": None,
        "lease_until": None,
        "opened_at": None,
        "final_at": None,
        "delivered_at": None,
        "receipted_at": None,
    }
    return CaseRow(**(values | more))  # type: ignore[arg-type]


rows = st.lists(
    st.tuples(st.integers(0, 10**6), urgencies, instants), max_size=20, unique_by=lambda t: t[0]
).map(lambda ts: [row(f"{n:08d}", u, d) for n, u, d in ts])  # fmt: skip


@given(rows, st.integers())
def test_shuffling_changes_nothing(cases: list[CaseRow], seed: int) -> None:
    shuffled = list(cases)
    random.Random(seed).shuffle(shuffled)
    assert routing.in_order(shuffled) == routing.in_order(cases)


@given(rows, urgencies, instants)
def test_a_new_case_never_swaps_two_others(cases: list[CaseRow], urgency: Urgency, due_at: datetime) -> None:
    before = routing.in_order(cases)
    after = routing.in_order([*cases, row("99999999", urgency, due_at)])
    assert tuple(c for c in after if c.case_id != "99999999") == before


@given(rows)
def test_the_next_case_is_the_first_that_he_may_read(cases: list[CaseRow]) -> None:
    assert routing.next_for(reader("r", SHIGOU), cases) == (routing.in_order(cases) or (None,))[0]
    assert routing.next_for(reader("r", HELAN), cases) is None
    assert routing.next_for(reader("r", SHIGOU, service=Service.ECG), cases) is None


def findings() -> st.SearchStrategy[Finding]:
    return st.builds(
        lambda d, c, p: finding("x", d, critical=c, p=p),
        st.sampled_from(list(Decision)),
        st.booleans(),
        st.floats(0, 1),
    )


def reads() -> st.SearchStrategy[StoredRead]:
    def build(n: int, model: str, abstains: bool, found: list[Finding], tier: Tier | None) -> StoredRead:
        outcome = Outcome.ABSTAINED if abstains else Outcome.READ
        reason = Reason("r", "原因", "reason") if abstains else None
        critical = Critical(tier, "p", "1") if tier else None
        said = () if abstains else tuple(found)
        read = PreliminaryRead("film", model, "1", str(n), outcome, reason, said, critical=critical)
        return StoredRead(str(n), SHIGOU, "1", T2 + timedelta(seconds=n), (), read)

    tiers = st.sampled_from([None, *Tier])
    models, found = st.sampled_from("ab"), st.lists(findings(), max_size=3)
    return st.builds(build, st.integers(0, 99), models, st.booleans(), found, tiers)


@given(urgencies, instants, st.lists(reads(), max_size=6))
def test_no_order_of_model_results_lowers_urgency_or_moves_the_due_time_away(
    urgency: Urgency, due_at: datetime, made: list[StoredRead]
) -> None:
    now_is = Priority(urgency, due_at)
    for n in range(len(made)):
        flag = routing.machine_flag(made[: n + 1])
        after = routing.after_machine(now_is, flag, Timing(), T2 + timedelta(minutes=n))
        assert after.urgency.rank <= now_is.urgency.rank and after.due_at <= now_is.due_at
        assert after == now_is or flag.kind == "critical"
        tier = routing.gravest_tier(made[: n + 1])
        later = routing.after_tier(after, tier, Timing(), Service.ECG, "ECG", T2)
        assert later.urgency.rank <= after.urgency.rank and later.due_at <= after.due_at
        assert later == after or tier is Tier.ORANGE
        now_is = later


@given(urgencies, instants, urgencies)
def test_a_persons_raising_never_lowers_either(urgency: Urgency, due_at: datetime, to: Urgency) -> None:
    after = routing.raised(Priority(urgency, due_at), to, Timing(), Service.IMAGING, "DX", T2)
    assert after.urgency.rank <= min(urgency.rank, to.rank) and after.due_at <= due_at


@pytest.mark.parametrize(
    ("service", "modality", "urgency", "minutes"),
    [
        (Service.ECG, "ECG", Urgency.STAT, 10),
        (Service.ECG, "ECG", Urgency.ROUTINE, 30),
        (Service.IMAGING, "DX", Urgency.URGENT, 30),
        (Service.IMAGING, "CR", Urgency.ROUTINE, 120),
        (Service.IMAGING, "CT", Urgency.STAT, 60),
        (Service.IMAGING, "MR", Urgency.ROUTINE, 240),
        (Service.IMAGING, "CT/DX", Urgency.ROUTINE, 240),
    ],
)
def test_limits_are_those_of_the_workflow_page(service: Service, modality: str, urgency: Urgency, minutes: int) -> None:
    assert routing.due_at(Timing(), service, modality, urgency, T2) == T2 + timedelta(minutes=minutes)


def test_a_clinics_policy_overrides_single_values() -> None:
    timing = Timing().with_policy({"limit_film_routine": 60, "ladder": [0, 1], "unknown": 3})
    assert timing.limit_film_routine == 60 and timing.ladder == (0, 1) and timing.limit_ct_routine == 240


def test_the_flag_names_the_gravest_finding_of_the_newest_reads() -> None:
    def read(n: int, model: str, *found: Finding) -> StoredRead:
        made = PreliminaryRead("film", model, "1", str(n), Outcome.READ, None, found)
        return StoredRead(str(n), SHIGOU, "1", T2 + timedelta(seconds=n), (), made)

    old, new = read(1, "a", finding("x")), read(2, "a", finding("y", Decision.UNCERTAIN, p=0.5))
    assert routing.machine_flag([old, new]) == MachineFlag("uncertain", Text("所见y", "finding y"), 0.5)
    other = read(0, "b", finding("z", critical=True))
    assert routing.machine_flag([old, new, other]).kind == "critical"
    assert routing.machine_flag([]) == MachineFlag()
