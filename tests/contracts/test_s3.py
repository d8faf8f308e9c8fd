"""The S3 store against a real server: the contract, and what happens while the server is away."""

from __future__ import annotations

import io
import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from center.errors import NotFound, Unavailable
from center.objects.s3 import S3Store
from tests.contracts import seaweed
from tests.contracts.object_store import ObjectStoreContract, digest, put, read

BUCKET = "helan-objects"


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[seaweed.Server]:
    """One for the whole session: it takes seconds to start."""
    with seaweed.running(tmp_path_factory.mktemp("weed"), seaweed.free_ports(seaweed.PORTS)) as server:
        yield server


@pytest.fixture
def s3(server: seaweed.Server) -> S3Store:
    store = S3Store(server.endpoint, BUCKET, seaweed.ACCESS_KEY, seaweed.SECRET_KEY)
    store.make_bucket()
    return store


class TestS3Store(ObjectStoreContract):
    @pytest.fixture
    def store(self, s3: S3Store) -> S3Store:
        return s3


def test_making_the_bucket_again_changes_nothing(s3: S3Store) -> None:
    name = put(s3, b"kept")
    s3.make_bucket()
    assert read(s3, name) == b"kept"


def test_an_object_of_several_parts_comes_back_whole(s3: S3Store) -> None:
    content = os.urandom(1 << 20) * 40  # three parts
    name = put(s3, content)
    assert digest(read(s3, name)) == name
    assert read(s3, name, (20 << 20) - 3, 7) == content[(20 << 20) - 3 : (20 << 20) + 4]
    s3.delete(name)


def test_a_wrong_key_is_unavailable_and_says_so_in_two_languages(server: seaweed.Server, s3: S3Store) -> None:
    name = put(s3, b"one")
    stranger = S3Store(server.endpoint, BUCKET, seaweed.ACCESS_KEY, "wrong")
    for ask in (lambda: put(stranger, b"two"), lambda: read(stranger, name), lambda: stranger.stat(name)):
        with pytest.raises(Unavailable) as caught:
            ask()
    assert "对象存储" in caught.value.zh


def test_a_server_that_is_away_is_unavailable_not_not_found() -> None:
    store = S3Store(f"http://127.0.0.1:{seaweed.free_ports(1)[0]}", BUCKET, "key", "secret")
    name = digest(b"one")
    for ask in (
        lambda: store.put(name, io.BytesIO(b"one"), 3),
        lambda: store.stat(name),
        lambda: store.delete(name),
        lambda: read(store, name),
        lambda: list(store.list()),
    ):
        with pytest.raises(Unavailable):
            ask()


def test_a_bucket_that_is_not_there_is_no_missing_object(server: seaweed.Server) -> None:
    store = S3Store(server.endpoint, "helan-no-such-bucket", seaweed.ACCESS_KEY, seaweed.SECRET_KEY)
    with pytest.raises((Unavailable, NotFound)):
        read(store, digest(b"one"))


@pytest.mark.long
def test_a_server_that_was_killed_and_came_back_has_what_it_had(tmp_path: Path) -> None:
    ports = seaweed.free_ports(seaweed.PORTS)
    with seaweed.running(tmp_path, ports) as server:
        store = S3Store(server.endpoint, BUCKET, seaweed.ACCESS_KEY, seaweed.SECRET_KEY)
        store.make_bucket()
        name = put(store, b"kept" * 1000)
    with pytest.raises(Unavailable):
        read(store, name)
    with seaweed.running(tmp_path, ports):
        end = time.monotonic() + 60  # its volumes come later than its door
        while True:
            try:
                assert read(store, name) == b"kept" * 1000
                break
            except (Unavailable, NotFound):
                assert time.monotonic() < end
                time.sleep(0.5)
