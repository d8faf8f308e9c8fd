"""Two people under one number: a study is of whom its own images say, whatever came before under that number."""

from __future__ import annotations

import threading
from datetime import date
from itertools import permutations

import pytest

from center.ports import StudySummary
from dicom_gateway import qido
from dicom_gateway.handlers import Filer
from dicom_gateway.qido import Level, Scope
from tests.gateway.conftest import House
from tests.gateway.test_ingest import BOTH, SHIGOU, TECHNICIAN
from tests.makers.dicom import Person, make_cr

ALPHA = Person("DUP1", "Alpha^One", "M", date(1950, 1, 1))
BETA = Person("DUP1", "Beta^Two", "F", date(1990, 5, 5))


def arrive(house: House, seed: int, person: Person, **more: object) -> StudySummary:
    outcome = house.accept(make_cr(seed, size=(32, 32), person=person, **more))  # type: ignore[arg-type]
    return summary(house, outcome.study_uid)


def summary(house: House, study_uid: str) -> StudySummary:
    return house.gateway.index.summary(BOTH, SHIGOU, study_uid)


def found(house: House, name: str) -> list[str]:
    statement, params = qido.statement(
        qido.parse(Level.STUDY, [("PatientName", name)]), Scope(("shigou",), ("clinic",))
    )
    return [str(row["study_uid"]) for row in house.rows(statement, **params)]


@pytest.mark.parametrize("order", list(permutations((1, 2))))
def test_each_study_bears_the_name_of_its_own_images(house: House, order: tuple[int, ...]) -> None:
    people = {1: ALPHA, 2: BETA}
    uids = {n: arrive(house, n, people[n]).study_uid for n in order}
    one, two = summary(house, uids[1]), summary(house, uids[2])
    assert (one.patient.name, one.patient.sex, one.patient.birth_date) == ("Alpha One", "M", date(1950, 1, 1))
    assert (two.patient.name, two.patient.sex, two.patient.birth_date) == ("Beta Two", "F", date(1990, 5, 5))
    assert [o.name for o in one.others] == ["Beta Two"] and [o.name for o in two.others] == ["Alpha One"]
    assert set(two.identity_notes) == {"other_name", "other_birth_date", "other_sex", "other_person"}
    assert one.patient.patient_id != two.patient.patient_id
    assert house.gateway.index.priors(BOTH, SHIGOU, two.study_uid) == []
    assert found(house, "Beta*") == [two.study_uid] and found(house, "Alpha*") == [one.study_uid]


def test_the_first_ones_case_is_told_that_its_number_is_doubtful(house: House) -> None:
    one = arrive(house, 1, ALPHA)
    two = arrive(house, 2, BETA)
    arrive(house, 3, BETA)  # known by now: told once
    told = house.rows("select key from center.event where kind = 'IdentityDoubted'")
    assert told == [{"key": f"{one.study_uid}:{two.study_uid}:0"}]


def test_a_third_study_goes_to_its_own_person_and_his_priors(house: House) -> None:
    arrive(house, 1, ALPHA)
    two, three = arrive(house, 2, BETA), arrive(house, 3, Person("DUP1", "BETA^TWO=贝^二", "", None))
    assert three.patient.patient_id == two.patient.patient_id and three.patient.name == "贝二"
    assert [p.study_uid for p in house.gateway.index.priors(BOTH, SHIGOU, three.study_uid)] == [two.study_uid]


@pytest.mark.parametrize("other", ["张三", "ZHANG^SAN", "zhang san", "San^Zhang"])
def test_another_spelling_is_no_conflict(house: House, other: str) -> None:
    one = arrive(house, 1, Person("S1", "Zhang^San=张^三", "M", date(1950, 1, 1)))
    two = arrive(house, 2, Person("S1", other, "M", date(1950, 1, 1)))
    assert two.patient.patient_id == one.patient.patient_id and not two.others and not two.identity_notes
    assert summary(house, one.study_uid).others == ()


def test_a_newborn_under_his_mothers_number_is_a_person_of_his_own(house: House) -> None:
    mother = arrive(house, 1, Person("M7", "Wang^Fang=王^芳", "F", date(1995, 3, 3)))
    child = arrive(house, 2, Person("M7", "王芳之子", "M", date(2026, 11, 20)))
    assert (mother.patient.name, child.patient.name) == ("王芳", "王芳之子")
    assert child.others[0].name == "王芳" and not house.gateway.index.priors(BOTH, SHIGOU, child.study_uid)


def test_a_study_without_a_name_takes_nobodys(house: House) -> None:
    nameless = arrive(house, 1, Person("S9", "", "", None))
    arrive(house, 2, Person("S9", "Beta^Two", "F", date(1990, 5, 5)))
    after = summary(house, nameless.study_uid)
    assert (after.patient.name, after.patient.birth_date, after.patient.sex) == ("", None, "")
    arrive(house, 3, Person("S9", "Alpha^One", "M", None))
    lost = arrive(house, 4, Person("S9", "", "", None))
    assert lost.patient.name == "" and {o.name for o in lost.others} == {"Beta Two", "Alpha One"}
    assert house.gateway.index.priors(BOTH, SHIGOU, lost.study_uid) == []


def test_what_the_first_object_left_out_a_later_one_says(house: House) -> None:
    arrive(house, 9, ALPHA)
    first = arrive(house, 1, Person("DUP1", "", "", None), study_uid="2.25.77")
    arrive(house, 1, BETA, study_uid="2.25.77", instance=2)
    named = summary(house, first.study_uid)
    assert named.patient.name == "Beta Two" and [o.name for o in named.others] == ["Alpha One"]


def test_other_names_inside_one_study_are_kept_beside_the_first(house: House) -> None:
    prior = arrive(house, 9, ALPHA)
    study = arrive(house, 1, ALPHA, study_uid="2.25.78")
    for n in range(2, 5):
        arrive(house, 1, BETA, study_uid="2.25.78", instance=n)
    after = summary(house, study.study_uid)
    assert after.patient.name == "Alpha One"
    assert [(o.source, o.name, o.birth_date) for o in after.others] == [("images", "Beta Two", date(1990, 5, 5))]
    assert "other_name" in after.identity_notes
    assert house.gateway.index.priors(BOTH, SHIGOU, prior.study_uid) == []  # whose it is is open: not compared
    filer = Filer(house.database, house.gateway.contents, house.gateway.door, None, None)
    headers, _ = filer.evidence(SHIGOU, "2.25.78", ())  # what our results take their patient from
    assert {h.person_name for h in headers} == {"Alpha^One"}


def test_another_number_inside_one_study_is_told(house: House) -> None:
    arrive(house, 1, ALPHA, study_uid="2.25.79")
    arrive(house, 1, Person("DUP2", "Alpha^One", "M", date(1950, 1, 1)), study_uid="2.25.79", instance=2)
    after = summary(house, "2.25.79")
    assert [o.local_id for o in after.others] == ["DUP2"] and "other_id" in after.identity_notes


def test_both_at_once_are_two_people(house: House) -> None:
    start, failures = threading.Barrier(6), []

    def send(seed: int) -> None:
        start.wait()
        try:
            house.accept(make_cr(seed, size=(32, 32), person=(ALPHA, BETA)[seed % 2]))
        except Exception as failure:  # any at all fails the test
            failures.append(failure)

    threads = [threading.Thread(target=send, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failures
    rows = house.rows("select name, patient_id, count(*) as n from gateway.study group by 1, 2 order by 1")
    assert [(r["name"], r["n"]) for r in rows] == [("Alpha One", 3), ("Beta Two", 3)]


def test_the_clinic_puts_one_right_and_the_doubt_ends_for_both(house: House) -> None:
    one, two = arrive(house, 1, ALPHA), arrive(house, 2, BETA)
    right = {"name": "Beta Two", "sex": "F", "birth_date": date(1990, 5, 5)}
    house.gateway.index.correct_identity(TECHNICIAN, SHIGOU, two.study_uid, local_id="DUP2", reason="号码录错", **right)
    assert summary(house, one.study_uid).others == () and summary(house, two.study_uid).others == ()
    assert summary(house, one.study_uid).identity_notes == ()
    keys = {str(r["key"]) for r in house.rows("select key from center.event where kind = 'IdentityDoubted'")}
    assert f"{one.study_uid}:{two.study_uid}:1" in keys


def test_the_clinic_says_that_both_names_are_one_person(house: House) -> None:
    one, two = arrive(house, 1, ALPHA), arrive(house, 2, BETA)
    house.gateway.index.correct_identity(
        TECHNICIAN, SHIGOU, two.study_uid, local_id="DUP1", name="Alpha One", sex="M", birth_date=date(1950, 1, 1),
        reason="选错患者",
    )  # fmt: skip
    after = summary(house, two.study_uid)
    assert after.patient.patient_id == one.patient.patient_id and after.patient.name == "Alpha One" and not after.others
    assert [p.study_uid for p in house.gateway.index.priors(BOTH, SHIGOU, one.study_uid)] == [two.study_uid]


def test_putting_one_study_right_renames_no_other(house: House) -> None:
    one, two = arrive(house, 1, ALPHA), arrive(house, 2, ALPHA)
    house.gateway.index.correct_identity(
        TECHNICIAN, SHIGOU, two.study_uid, local_id="DUP1", name="Gamma Three", sex="M", birth_date=None, reason="x"
    )
    assert summary(house, one.study_uid).patient.name == "Alpha One"
    assert summary(house, two.study_uid).patient.name == "Gamma Three"
    assert [o.name for o in summary(house, one.study_uid).others] == ["Gamma Three"]
