"""Where an arriving data set lies until it is whole: a file beside the spool, or, where none can be written, nowhere.

The library writes while it still takes the object's bytes from the line; an error there would end the association without
a status.  So the bytes are dropped instead, and whoever stores the object learns why (PS3.7 9.3.1: A700H).
"""

from __future__ import annotations

import os
import secrets
import tempfile
from pathlib import Path

from pynetdicom import dimse_messages

from dicom_gateway.spool import away


class Staged:
    """As much of a named temporary file as the library uses.  ``failed``: why it holds nothing, else None."""

    def __init__(self, folder: Path) -> None:
        path = folder / f"{secrets.token_hex(12)}.dcm"
        self.name = str(path)
        self.failed: OSError | None = None
        self._fd: int | None = None
        try:
            self._fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except OSError as error:
            self.failed = error

    @property
    def file(self) -> Staged:
        return self

    def write(self, slab: bytes) -> int:
        view = memoryview(slab)
        try:
            while view and self._fd is not None:
                view = view[os.write(self._fd, view) :]
        except OSError as error:
            self.failed = error
            self.close()
            Path(self.name).unlink(missing_ok=True)  # gives its room back at once
        return len(slab)

    def flush(self) -> None:
        """Nothing is kept back."""

    def tell(self) -> int:
        return 0 if self._fd is None else os.lseek(self._fd, 0, os.SEEK_CUR)

    def close(self) -> None:
        if self._fd is not None:
            handle, self._fd = self._fd, None
            os.close(handle)

    def check(self) -> None:
        """Returns when all that came lies there.  Raises NoRoom, Unavailable."""
        if self.failed is not None:
            raise away(self.failed) from self.failed


def stage_in(folder: Path) -> None:
    """From now on the library stages arriving data sets there, for the whole process."""
    tempfile.tempdir = str(folder)

    def made(*_: object, **__: object) -> Staged:
        return Staged(folder)

    dimse_messages.NamedTemporaryFile = made  # type: ignore[attr-defined,assignment]  # a name of the library's module
