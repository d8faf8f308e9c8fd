"""An ECG recording as values: leads, millivolts, hertz, and what the file said about it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final
from unicodedata import normalize

import numpy as np
import numpy.typing as npt

from center.reads import Reason

STANDARD_LEADS: Final = ("I", "II", "III", "aVR", "aVL", "aVF", "V1", "V2", "V3", "V4", "V5", "V6")
MAX_LEADS: Final = 64
MAX_SAMPLES: Final = 50_000_000
"""Most samples over all leads that a reader takes in: 24 hours of two leads at 250 Hz, with room."""

_OTHER_LEADS: Final = (
    *("V7", "V8", "V9", "V2R", "V3R", "V4R", "V5R", "V6R", "V7R", "V8R", "V9R"),
    *("X", "Y", "Z", "CC5", "CM5", "MLI", "MLII", "MLIII", "ES", "AS", "AI"),
)
_BY_FOLDED_NAME: Final = {name.casefold(): name for name in (*STANDARD_LEADS, *_OTHER_LEADS)} | {
    "di": "I",
    "dii": "II",
    "diii": "III",
}  # derivation, dérivation, derivación
_LIMB_TOLERANCE_MV: Final = 0.03
"""Three small steps of a 5 or 10 uV recorder, after each lead was rounded and filtered by itself (ours)."""


@dataclass(frozen=True, slots=True)
class Filters:
    """What the device did to the signal before storing it; None: the file doesn't say, or it was off."""

    high_pass_hz: float | None = None
    low_pass_hz: float | None = None
    notch_hz: float | None = None


@dataclass(frozen=True, slots=True)
class DeviceNote:
    """Something the device itself said: a statement (``text``) or a measurement (``value`` and ``unit``)."""

    text: str
    value: float | None = None
    unit: str = ""


@dataclass(frozen=True, slots=True)
class EcgSignal:
    """A recording.  Header fields are as the file gave them; empty where it didn't.

    samples: float64 [lead, sample], mV; NaN where the device gave no value.  Read-only.
    step_mv: one per lead, what one count of the source means; empty where the source had no counts.
    birth_date: YYYYMMDD.  recorded_at: ISO 8601, with its zone where the file had one.
    annotations: the device's own words, kept apart and never mixed with ours.
    issues: what a reader of this recording should know about the file.
    is_ecg_by_type: whether the format, or the object's own type, holds ECG leads whatever they are called.
    """

    leads: tuple[str, ...]
    samples: npt.NDArray[np.float64]
    fs_hz: float
    filters: Filters = Filters()
    step_mv: tuple[float, ...] = ()
    patient_id: str = ""
    patient_name: str = ""
    sex: str = ""
    birth_date: str = ""
    age_years: float | None = None
    recorded_at: str = ""
    device: str = ""
    accession_number: str = ""
    annotations: tuple[DeviceNote, ...] = ()
    source_format: str = ""
    issues: tuple[Reason, ...] = ()
    is_ecg_by_type: bool = False

    def __post_init__(self) -> None:
        samples = np.array(self.samples, dtype=np.float64, order="C")
        if samples.ndim != 2 or samples.shape[0] != len(self.leads):
            raise ValueError(f"{len(self.leads)} leads, samples of shape {samples.shape}")
        if len(set(self.leads)) != len(self.leads):
            raise ValueError(f"a lead twice: {self.leads}")
        if not (np.isfinite(self.fs_hz) and self.fs_hz > 0):
            raise ValueError(f"sampling frequency {self.fs_hz}")
        if self.step_mv and len(self.step_mv) != len(self.leads):
            raise ValueError(f"{len(self.leads)} leads, {len(self.step_mv)} steps")
        samples.setflags(write=False)
        object.__setattr__(self, "samples", samples)

    @property
    def seconds(self) -> float:
        """How long the recording is."""
        return self.samples.shape[1] / self.fs_hz

    def has(self, *leads: str) -> bool:
        """Whether all these leads are stored."""
        return all(lead in self.leads for lead in leads)

    def lead(self, name: str) -> npt.NDArray[np.float64]:
        """One lead, mV [sample].  Raises KeyError."""
        try:
            return self.samples[self.leads.index(name)]
        except ValueError:
            raise KeyError(name) from None

    @property
    def is_twelve_lead(self) -> bool:
        """Whether exactly the twelve standard leads are stored, in any order."""
        return len(self.leads) == 12 and self.has(*STANDARD_LEADS)

    @property
    def limb_leads_agree(self) -> bool | None:
        """Whether II = I + III and aVR = -(I + II)/2 and so on; None when there's nothing to compare.

        Einthoven, Goldberger.  A lead swap keeps these laws; a wrong gain, order or lead name breaks them.
        """
        if not self.has("I", "II"):
            return None
        derived = derived_limb_leads(self.lead("I"), self.lead("II"))
        stored = [name for name in derived if name in self.leads]
        if not stored:
            return None
        return all(_alike(self.lead(name), derived[name], self.largest_step_mv) for name in stored)

    @property
    def largest_step_mv(self) -> float:
        """The coarsest step of all leads, mV; 0 where unknown."""
        return max(self.step_mv, default=0.0)

    def with_limb_leads(self) -> EcgSignal:
        """The same recording with III, aVR, aVL, aVF added where I and II are stored and they aren't.

        The standard leads come first, in their usual order; any others follow as stored.
        """
        if not self.has("I", "II"):
            return self
        rows = dict(zip(self.leads, self.samples, strict=True))
        steps = dict(zip(self.leads, self.step_mv, strict=True)) if self.step_mv else {}
        for name, values in derived_limb_leads(self.lead("I"), self.lead("II")).items():
            if name not in rows:
                rows[name] = values
                steps[name] = min(self.step_mv, default=0.0) / 2
        order = [name for name in STANDARD_LEADS if name in rows]
        order += [name for name in self.leads if name not in STANDARD_LEADS]
        return replace(
            self,
            leads=tuple(order),
            samples=np.stack([rows[name] for name in order]),
            step_mv=tuple(steps[name] for name in order) if self.step_mv else (),
        )


def derived_limb_leads(
    lead_i: npt.NDArray[np.float64], lead_ii: npt.NDArray[np.float64]
) -> dict[str, npt.NDArray[np.float64]]:
    """III, aVR, aVL, aVF from I and II, mV [sample].  Einthoven's and Goldberger's equations."""
    return {
        "III": lead_ii - lead_i,
        "aVR": -(lead_i + lead_ii) / 2,
        "aVL": lead_i - lead_ii / 2,
        "aVF": lead_ii - lead_i / 2,
    }


def canonical_lead(name: str) -> str:
    """The lead's usual spelling (``avr``, ``Lead aVR``, ``MDC_ECG_LEAD_AVR``, ``导联Ⅱ``), or the name as given."""
    bare = " ".join(normalize("NFKC", name).replace("导联", " ").replace("_", " ").split())
    folded = bare.casefold()
    for prefix in ("mdc ecg lead ", "ecg lead ", "ecg ", "lead "):
        folded = folded.removeprefix(prefix)
    return _BY_FOLDED_NAME.get(folded.replace(" ", ""), name.strip())


def distinct(names: Iterable[str]) -> tuple[str, ...]:
    """The names, each once: a second ``V1`` becomes ``V1 (2)``."""
    out: list[str] = []
    for name in names:
        n, unique = 1, name
        while unique in out:
            n += 1
            unique = f"{name} ({n})"
        out.append(unique)
    return tuple(out)


def is_known_lead(name: str) -> bool:
    """Whether this is the usual spelling of a lead that we know."""
    return _BY_FOLDED_NAME.get(name.casefold()) == name


def limb_issue(signal: EcgSignal) -> tuple[Reason, ...]:
    """The warning that goes with limb leads that don't obey Einthoven's law; empty where they do."""
    if signal.limb_leads_agree is not False:
        return ()
    return (
        Reason(
            "limb_leads_disagree",
            zh="肢体导联互不吻合（II ≠ I + III）：某个导联的增益、顺序或名称可能有误。",
            en="The limb leads do not fit each other (II is not I + III): a gain, order or lead name may be wrong.",
        ),
    )


def _alike(stored: npt.NDArray[np.float64], derived: npt.NDArray[np.float64], step_mv: float) -> bool:
    apart = np.abs(stored - derived)
    apart = apart[np.isfinite(apart)]
    if not apart.size:
        return True
    return float(np.quantile(apart, 0.99)) <= max(_LIMB_TOLERANCE_MV, 3 * step_mv)
