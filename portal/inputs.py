"""A study as a model gets it: the gateway decodes films, the heart room signals. Fills the port ``ModelInputs``."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from center.codes import Origin
from center.errors import Failure, NotFound, Unavailable
from center.identity import Actor, ClinicId, system_for
from center.ports import Reads, StudyIndex, StudySummary
from center.reads import Abstention, FilmInput, ModelInput, Outcome, Reason
from dicom_gateway.room import film_input, readable
from ecg.room import is_long, open_long, read_dicom_signal, to_long_input, to_model_input

_WAVEFORM = "1.2.840.10008.5.1.4.1.1.9."
_MOST_RECORDINGS = 20
_HELD_BYTES = 8 << 20  # what is larger is a recording of hours, and read block by block
_FILM_MODALITIES = ("CR", "DX")
_UNKNOWN_KIND = Reason(
    "unknown_kind",
    "这类检查没有适用的模型。请直接阅片。",
    "No model is meant for this kind of study. Please read without it.",
)


@dataclass(frozen=True, slots=True)
class Source:
    """One instance of a study: ``load`` brings its Part 10 bytes."""

    sop_uid: str
    sop_class_uid: str
    modality: str
    digest: str
    load: Callable[[], bytes]


def is_waveform(source: Source) -> bool:
    return source.sop_class_uid.startswith(_WAVEFORM)


def model_input(study_uid: str, sources: Sequence[Source]) -> ModelInput | Abstention:
    """The study's recordings, or its first film that can be read; else why there is none.  Raises Unavailable."""
    waveforms = [s for s in sources if is_waveform(s)]
    films = [s for s in sources if s.modality in _FILM_MODALITIES]
    answer: ModelInput | Abstention = Abstention(_UNKNOWN_KIND)
    recordings: list[ModelInput] = []
    for source in waveforms[:_MOST_RECORDINGS]:
        answer = _recording(study_uid, source)
        if isinstance(answer, ModelInput):
            recordings.append(answer)
    if recordings:
        return _together(recordings, waveforms)
    for source in films:
        answer = _film(study_uid, source)
        if isinstance(answer, ModelInput):
            return answer
    return answer


def _together(recordings: list[ModelInput], waveforms: Sequence[Source]) -> ModelInput:
    """One input of all of them: an ECG that alarms must not be passed over for one that was stored before it."""
    recordings = [each for one in recordings for each in (replace(one, more=()), *one.more)]
    recordings.sort(key=lambda one: one.recording is None and one.long is None)  # stable: hearts before the rest
    first, *others = recordings
    if not others:
        return first
    uids = tuple(dict.fromkeys(uid for one in recordings for uid in one.sop_instance_uids))
    digests = sorted(s.digest for s in waveforms if s.sop_uid in uids)
    together = hashlib.sha256("".join(digests).encode()).hexdigest()
    return replace(first, sop_instance_uids=uids, input_digest=together, more=tuple(others))


def _film(study_uid: str, source: Source) -> ModelInput | Abstention:
    film = film_input(source.load())
    if isinstance(film, Abstention):
        return film
    assert isinstance(film, FilmInput)
    return ModelInput("film", study_uid, (source.sop_uid,), _digest(source), film=film)


def _recording(study_uid: str, source: Source) -> ModelInput | Abstention:
    try:
        content = readable(source.load())
        long = open_long({source.sop_uid: content}) if len(content) > _HELD_BYTES else None
        if long is not None and is_long(long):
            return to_long_input(long, study_uid, (source.sop_uid,), _digest(source))
        signal = read_dicom_signal(content)
    except (Unavailable, NotFound):
        raise
    except Failure as failure:
        if failure.facts.get("code") == "not_an_ecg":  # a breath or a pulse: nobody is called for it
            reason = Reason("not_an_ecg", failure.zh, failure.en)
            return ModelInput("ecg", study_uid, (source.sop_uid,), _digest(source), issues=(reason,))
        return Abstention(Reason("unreadable_signal", failure.zh, failure.en))
    return to_model_input(signal, study_uid, (source.sop_uid,), _digest(source))


def _digest(source: Source) -> str:
    return hashlib.sha256(source.digest.encode()).hexdigest()


class StudyInputs:
    """The port: a study of the index, and what was read of the patient's last ECG."""

    def __init__(self, index: StudyIndex, reads: Reads) -> None:
        self._index = index
        self._reads = reads

    def kind(self, clinic_id: ClinicId, study_uid: str) -> str:
        held = self._index.instances(system_for(clinic_id), clinic_id, study_uid)
        recorded = any(i.sop_class_uid.startswith(_WAVEFORM) and i.origin is not Origin.RESULT for i in held)
        return "ecg" if recorded else "film"

    def of(self, clinic_id: ClinicId, study_uid: str) -> ModelInput | Abstention:
        actor = system_for(clinic_id)
        held = [i for i in self._index.instances(actor, clinic_id, study_uid) if i.origin is not Origin.RESULT]
        sources = [
            Source(
                i.sop_uid, i.sop_class_uid, i.modality, i.sha256,
                lambda uid=i.sop_uid: self._index.read_bytes(actor, clinic_id, uid),
            )
            for i in held
        ]  # fmt: skip
        given = model_input(study_uid, sources)
        return self._with_previous(given, actor, clinic_id) if isinstance(given, ModelInput) else given

    def _with_previous(self, given: ModelInput, actor: Actor, clinic_id: ClinicId) -> ModelInput:
        """With the newest read of the last ECG before this one, of the same patient at the same clinic."""
        if given.kind != "ecg":
            return given
        now = _recorded(self._index.summary(actor, clinic_id, given.study_instance_uid))
        for prior in self._index.priors(actor, clinic_id, given.study_instance_uid):
            if "ECG" not in prior.modalities or _recorded(prior) >= now:
                continue
            for kept in self._reads.of(clinic_id, prior.study_uid):
                if kept.read.kind == "ecg" and kept.read.outcome is Outcome.READ:
                    at = _recorded(prior).isoformat()
                    return replace(given, previous=kept.read, previous_study_uid=prior.study_uid, previous_at=at)
        return given


def _recorded(study: StudySummary) -> datetime:
    """When it was recorded, by the clinic's clock as the device wrote it; where it didn't, when it came."""
    return (study.study_at or study.first_arrival_at).replace(tzinfo=None)
