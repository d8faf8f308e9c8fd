"""The directory store: the contract, and what only a folder can show."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest

from center.errors import Unavailable
from center.objects.directory import DirectoryStore
from tests.contracts.object_store import ObjectStoreContract, digest, put, read


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "objects"
    folder.mkdir()
    return folder


class TestDirectoryStore(ObjectStoreContract):
    @pytest.fixture
    def store(self, folder: Path) -> DirectoryStore:
        return DirectoryStore(folder)


class _CutOff(io.BytesIO):
    """A stream that breaks after its first slab."""

    def read(self, size: int | None = -1) -> bytes:
        if self.tell():
            raise OSError("cut off")
        return super().read(10)


def test_a_put_that_breaks_leaves_no_piece_behind(folder: Path) -> None:
    content = b"x" * 100
    with pytest.raises(Unavailable):
        DirectoryStore(folder).put(digest(content), _CutOff(content), 100)
    assert [p for p in folder.rglob("*") if p.is_file()] == []


def test_an_object_is_readable_by_its_owner_only_and_lies_under_its_digest(folder: Path) -> None:
    name = put(DirectoryStore(folder), b"one")
    path = folder / name[:2] / name[2:4] / name
    assert path.read_bytes() == b"one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_folder_that_is_away_is_unavailable_not_not_found(folder: Path) -> None:
    store = DirectoryStore(folder)
    name = put(store, b"one")
    folder.rename(folder.with_name("away"))
    folder.write_text("a file stands in its place")
    for ask in (lambda: put(store, b"two"), lambda: read(store, name)):
        with pytest.raises(Unavailable):
            ask()
    folder.unlink()
    folder.with_name("away").rename(folder)
    assert read(store, name) == b"one"
