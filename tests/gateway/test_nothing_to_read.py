"""What is nothing to read completes no study; an image that comes later does."""

from __future__ import annotations

import pytest
from pydicom.uid import UID_dictionary

from dicom_gateway import sop_classes
from tests.gateway.conftest import House
from tests.gateway.test_ingest import BOTH, SHIGOU
from tests.makers.beside import DOSE_SR, NOTHING_TO_READ, STORAGE, make_object
from tests.makers.dicom import make_cr


def events(house: House) -> list[tuple[object, object]]:
    found = house.rows("select kind, payload ->> 'generation' as n from center.event order by id")
    return [(r["kind"], r["n"]) for r in found]


@pytest.mark.parametrize(("sop_class", "modality", "what"), NOTHING_TO_READ)
def test_the_table_says_what_it_is(sop_class: str, modality: str, what: str) -> None:
    assert sop_classes.beside(sop_class, modality) == what


def test_every_image_and_recording_of_the_standard_is_read() -> None:
    names = {uid: entry[0] for uid, entry in UID_dictionary.items() if entry[1] == "SOP Class"}
    pictures = {u for u, n in names.items() if n.endswith(("Image Storage", "Waveform Storage", "Volume Storage"))}
    assert len(pictures) > 50
    assert {names[u] for u in pictures if sop_classes.beside(u, "OT")} == {"Basic Voice Audio Waveform Storage"}
    said = ("SR Storage", "Presentation State Storage", "Key Object Selection Document Storage", "Plan Storage")
    assert all(sop_classes.beside(u, "OT") for u, n in names.items() if n.endswith(said))


def test_an_unknown_class_and_a_recording_printed_as_pdf_are_read() -> None:
    assert sop_classes.beside("1.2.826.0.1.3680043.9.1", "OT") == ""
    assert sop_classes.beside(f"{STORAGE}104.1", "ECG") == "" != sop_classes.beside(f"{STORAGE}104.1", "OT")
    assert sop_classes.beside(f"{STORAGE}11", "OT") == "presentation" != sop_classes.beside(f"{STORAGE}1", "CR")


def test_alone_they_complete_no_study_and_are_listed(house: House) -> None:
    kept = house.accept(make_object(DOSE_SR, "SR"))
    house.clock.advance(3600)
    house.run_jobs()
    summary = house.gateway.index.summary(BOTH, SHIGOU, kept.study_uid)
    assert events(house) == [] and summary.state == "complete"
    assert (summary.instances, summary.images, summary.modalities) == (1, 0, frozenset({"SR"}))
    assert [s.study_uid for s in house.gateway.index.recent(BOTH, SHIGOU)] == [kept.study_uid]
    house.accept(make_object(DOSE_SR, "SR", 2, study_uid=kept.study_uid), whole=True)
    assert events(house) == []


def test_an_image_that_comes_later_completes_it(house: House) -> None:
    kept = house.accept(make_object(DOSE_SR, "SR"))
    house.accept(make_cr(1, size=(32, 32), study_uid=kept.study_uid))
    assert house.gateway.index.summary(BOTH, SHIGOU, kept.study_uid).state == "arriving"
    house.clock.advance(3600)
    house.run_jobs()
    assert events(house) == [("StudyCompleted", "1")]
    summary = house.gateway.index.summary(BOTH, SHIGOU, kept.study_uid)
    assert (summary.images, summary.modalities) == (1, frozenset({"CR"}))


def test_into_a_complete_study_they_are_no_late_image(house: House) -> None:
    film = house.accept(make_cr(1, size=(32, 32)), whole=True)
    for sop_class, modality, _ in NOTHING_TO_READ[:12]:
        house.accept(make_object(sop_class, modality, study_uid=film.study_uid))
    house.clock.advance(3600)
    house.run_jobs()
    summary = house.gateway.index.summary(BOTH, SHIGOU, film.study_uid)
    assert events(house) == [("StudyCompleted", "1")] and summary.state == "complete"
    assert (summary.instances, summary.images, summary.modalities) == (13, 1, frozenset({"CR"}))
    refs = house.gateway.index.instances(BOTH, SHIGOU, film.study_uid)
    assert sum(1 for r in refs if not r.beside) == 1 and {"report", "presentation"} <= {r.beside for r in refs}


def test_while_images_arrive_they_change_nothing(house: House) -> None:
    film = house.accept(make_cr(1, size=(32, 32)))
    house.accept(make_object(DOSE_SR, "SR", study_uid=film.study_uid))
    assert house.gateway.index.summary(BOTH, SHIGOU, film.study_uid).state == "arriving"
    house.clock.advance(3600)
    house.run_jobs()
    assert events(house) == [("StudyCompleted", "1")]
