"""The directory store: the contract, and what only a folder can show."""

from __future__ import annotations

import io
import stat
from pathlib import Path

import pytest

from center.errors import Damaged, Unavailable
from center.objects.checked import CheckedStore, is_right
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


class TestCheckedStore(ObjectStoreContract):
    @pytest.fixture
    def store(self, folder: Path) -> CheckedStore:
        return CheckedStore(DirectoryStore(folder), lambda sha256: pytest.fail(f"{sha256} is right"))


@pytest.mark.parametrize("size", [1, 100, (1 << 20) + 7, 3 << 20])
@pytest.mark.parametrize("where", [0, -1])
def test_a_whole_object_with_one_other_bit_is_never_read_to_its_end(folder: Path, size: int, where: int) -> None:
    bare, told = DirectoryStore(folder), list[str]()
    name = put(bare, b"x" * size)
    path = folder / name[:2] / name[2:4] / name
    content = bytearray(path.read_bytes())
    content[where] ^= 1
    path.write_bytes(content)
    got = 0
    with pytest.raises(Damaged):
        for piece in CheckedStore(bare, told.append).open_range(name):
            got += len(piece)
    assert told == [name] and got < size
    assert not is_right(bare, name)


@pytest.mark.parametrize("keep", [0, 50])
def test_a_cut_object_is_damaged_not_short(folder: Path, keep: int) -> None:
    bare = DirectoryStore(folder)
    name = put(bare, b"x" * 100)
    (folder / name[:2] / name[2:4] / name).write_bytes(b"x" * keep)
    with pytest.raises(Damaged):
        read(CheckedStore(bare, lambda _: None), name)


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
    with pytest.raises(Unavailable):
        list(store.list())
    folder.write_text("a file stands in its place")
    for ask in (lambda: put(store, b"two"), lambda: read(store, name)):
        with pytest.raises(Unavailable):
            ask()
    folder.unlink()
    folder.with_name("away").rename(folder)
    assert read(store, name) == b"one"
