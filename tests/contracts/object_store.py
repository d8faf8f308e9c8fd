"""What every object store promises: one suite, run on the directory and on S3 by the files beside this one."""

from __future__ import annotations

import hashlib
import io
import threading
from abc import ABC, abstractmethod

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from center.errors import Mismatched, NotFound
from center.ports import ObjectStore


def digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def put(store: ObjectStore, content: bytes) -> str:
    name = digest(content)
    store.put(name, io.BytesIO(content), len(content))
    return name


def read(store: ObjectStore, name: str, start: int = 0, length: int | None = None) -> bytes:
    return b"".join(store.open_range(name, start, length))


#: One method, two classes, a store that outlives an example: each example empties what it uses.
_SHARED = (HealthCheck.function_scoped_fixture, HealthCheck.differing_executors)


class ObjectStoreContract(ABC):
    """Subclasses give the ``store`` fixture."""

    @pytest.fixture
    @abstractmethod
    def store(self) -> ObjectStore: ...

    @pytest.mark.parametrize("size", [0, 1, 1 << 20, (1 << 20) + 1, 5 << 20])
    def test_what_is_put_comes_back_whole(self, store: ObjectStore, size: int) -> None:
        content = (b"helan" * (size // 5 + 1))[:size]
        name = put(store, content)
        assert read(store, name) == content
        info = store.stat(name)
        assert info is not None
        assert (info.sha256, info.bytes) == (name, size)

    def test_putting_again_changes_nothing(self, store: ObjectStore) -> None:
        name = put(store, b"once")
        assert put(store, b"once") == name
        assert [n for n in store.list() if n == name] == [name]

    def test_content_that_is_not_what_its_name_says_is_refused_and_leaves_nothing(self, store: ObjectStore) -> None:
        name = digest(b"the real one")
        with pytest.raises(Mismatched):
            store.put(name, io.BytesIO(b"another one!"), 12)
        assert store.stat(name) is None

    @pytest.mark.parametrize("name", ["", "../../etc/passwd", "A" * 64, "0" * 63, "0" * 65, "0" * 63 + "/"])
    def test_a_name_that_is_no_digest_is_refused(self, store: ObjectStore, name: str) -> None:
        for ask in (lambda: store.put(name, io.BytesIO(b""), 0), lambda: store.stat(name), lambda: store.delete(name)):
            with pytest.raises(Mismatched):
                ask()

    def test_what_is_not_there_is_not_found(self, store: ObjectStore) -> None:
        name = digest(b"never put")
        assert store.stat(name) is None
        with pytest.raises(NotFound):
            read(store, name)
        store.delete(name)  # gone afterwards, whether it was there or not

    def test_a_deleted_object_is_gone_and_can_be_put_again(self, store: ObjectStore) -> None:
        name = put(store, b"gone")
        store.delete(name)
        assert store.stat(name) is None
        assert name not in set(store.list())
        assert read(store, put(store, b"gone")) == b"gone"

    @pytest.mark.parametrize(
        ("start", "length"), [(0, 0), (0, 1), (3, 4), (9, 1), (9, 100), (10, None), (10, 5), (11, None), (4, None)]
    )
    def test_a_range_is_what_a_slice_would_be(self, store: ObjectStore, start: int, length: int | None) -> None:
        content = b"0123456789"
        name = put(store, content)
        assert read(store, name, start, length) == content[start : None if length is None else start + length]

    def test_many_put_the_same_object_at_once(self, store: ObjectStore) -> None:
        content = b"same" * 50_000
        wrong: list[BaseException] = []

        def one() -> None:
            try:
                put(store, content)
            except BaseException as error:  # handed to the test's own thread
                wrong.append(error)

        threads = [threading.Thread(target=one) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert not wrong
        assert read(store, digest(content)) == content

    def test_the_list_holds_objects_only_each_once(self, store: ObjectStore) -> None:
        names = {put(store, bytes([n]) * 10) for n in range(5)}
        listed = list(store.list())
        assert len(listed) == len(set(listed))
        assert names <= set(listed)

    @settings(max_examples=15, deadline=None, suppress_health_check=_SHARED)
    @given(st.lists(st.tuples(st.sampled_from(["put", "delete", "read", "range"]), st.integers(0, 3)), max_size=12))
    def test_it_agrees_with_a_dictionary(self, store: ObjectStore, steps: list[tuple[str, int]]) -> None:
        """stores_agree: whatever is done, both stores look like the same plain dictionary, so like each other."""
        contents = [b"", b"a", b"bb" * 1000, bytes(range(256)) * 300]
        held = {digest(c): c for c in contents}
        for name in held:
            store.delete(name)
        model: dict[str, bytes] = {}
        for what, which in steps:
            content = contents[which]
            name = digest(content)
            if what == "put":
                model[put(store, content)] = content
            elif what == "delete":
                store.delete(name)
                model.pop(name, None)
            elif name in model:
                start = 1 if what == "range" else 0
                assert read(store, name, start) == content[start:]
            else:
                with pytest.raises(NotFound):
                    read(store, name)
        assert {n for n in store.list() if n in held} == set(model)
        assert {n: info.bytes for n in held if (info := store.stat(n))} == {n: len(c) for n, c in model.items()}
