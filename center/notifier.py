"""Telling people: the log twin, until a telephone and SMS provider is configured."""

from __future__ import annotations

from center import observe
from center.ports import Notice

log = observe.log("center")


class LogNotifier:
    """Writes that somebody would be told. Not automatic: pages then say in red that a person must phone."""

    automatic = False

    def tell(self, notice: Notice) -> None:
        log.warning("notice", clinic=notice.clinic_id, means=notice.means, text=notice.text_key)


class KeptNotifier:
    """Keeps what was told: the tests' twin."""

    automatic = True

    def __init__(self) -> None:
        self.told: list[Notice] = []

    def tell(self, notice: Notice) -> None:
        self.told.append(notice)
