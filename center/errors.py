"""Failures: one class for each row of the table of failures; doors translate them, nobody else invents a status.

Two things that can go wrong are *values*, not exceptions, because what they keep must be committed: a conflict
(``center.ports.Quarantined``) and an abstention (``center.reads.Abstention``).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar


@dataclass(frozen=True, slots=True)
class Answer:
    """How the doors translate one failure: DIMSE status (PS3.7 annex C), HTTP status, whether to try again."""

    dimse: int
    http: int
    retry_after_s: int | None = None


@dataclass(eq=False)
class Failure(Exception):
    """What went wrong, in the two languages of the pages, and facts that a person can act on.

    ``zh`` and ``en`` are whole sentences; ``facts`` are shown beside them and must not hold a patient's data when
    they go to a log (``fact_names`` alone may).
    """

    zh: str
    en: str
    facts: dict[str, object] = field(default_factory=dict)
    answer: ClassVar[Answer] = Answer(dimse=0xC000, http=500)

    def __str__(self) -> str:
        return self.en

    @property
    def name(self) -> str:
        """The failure's class in words, as JSON and logs carry it: ``held_by_another``."""
        out = "".join("_" + c.lower() if c.isupper() else c for c in type(self).__name__)
        return out.lstrip("_")


class Unreadable(Failure):
    """Not DICOM, truncated, lying lengths, or not the format that the door takes."""

    answer = Answer(dimse=0xC000, http=400)


class Mismatched(Failure):
    """The data set is not what the command or the address said; ``facts`` holds both values."""

    answer = Answer(dimse=0xA900, http=409)


class Invalid(Failure):
    """A form or a query that cannot be taken as it is."""

    answer = Answer(dimse=0xC000, http=422)


class TooLarge(Failure):
    """More bytes than this door takes in at once."""

    answer = Answer(dimse=0xA700, http=413)


class TooSlow(Failure):
    """The request's body did not come within its time."""

    answer = Answer(dimse=0xA700, http=408)


class NotAcceptable(Failure):
    """None of the forms that the caller takes can be given; ``facts`` says which there are."""

    answer = Answer(dimse=0xA900, http=406)


class WrongMediaType(Failure):
    """The body is of a kind that this address does not take."""

    answer = Answer(dimse=0xC000, http=415)


class BadQuery(Failure):
    """A search that cannot be answered as it is asked: unknown attribute, wrong number, wrong date."""

    answer = Answer(dimse=0xC000, http=400)


class OverLimit(Failure):
    """This peer's or person's limit is used up."""

    answer = Answer(dimse=0xA700, http=429, retry_after_s=60)


class NoRoom(Failure):
    """The disk's reserve is reached: nothing is taken in."""

    answer = Answer(dimse=0xA700, http=507, retry_after_s=300)


class Unavailable(Failure):
    """Database, spool or store is away; nothing was acknowledged, the sender tries again."""

    answer = Answer(dimse=0xA700, http=503, retry_after_s=30)


class Damaged(Failure):
    """What is kept is not what its name says: nothing of it is shown; ``facts``: sha256."""

    answer = Answer(dimse=0xA700, http=500)


class Stranger(Failure):
    """An unknown caller: nobody is signed in, or the calling AE title is not registered."""

    answer = Answer(dimse=0x0124, http=401)


class Forbidden(Failure):
    """Not permitted; ``facts['grantor']`` says who can grant it."""

    answer = Answer(dimse=0x0124, http=403)


class NotFound(Failure):
    """Not there, or not for this actor to know about."""

    answer = Answer(dimse=0x0110, http=404)


class HeldByAnother(Failure):
    """Somebody else holds the case; ``facts``: holder, since, until."""

    answer = Answer(dimse=0xA700, http=409)


class WrongState(Failure):
    """The state does not allow it; ``facts``: state, possible (what can be done now)."""

    answer = Answer(dimse=0xA700, http=409)
