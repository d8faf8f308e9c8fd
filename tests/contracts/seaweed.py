"""A real S3 server for the tests: SeaweedFS from its wheel, on free ports of this machine."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from minio import Minio
from minio.error import MinioException
from urllib3.exceptions import HTTPError

ACCESS_KEY, SECRET_KEY = "helan-test", "helan-test-secret"
READY_WITHIN_S = 60.0
#: All of them are named: what is left out is made of the others + 10000 and may be taken.
_PORTS = ("s3.port", "s3.port.grpc", "master.port", "master.port.grpc", "volume.port", "volume.port.grpc", "filer.port",
          "filer.port.grpc")  # fmt: skip
PORTS = len(_PORTS)


@dataclass(frozen=True, slots=True)
class Server:
    endpoint: str
    process: subprocess.Popen[bytes]


def free_ports(count: int) -> list[int]:
    """Ports that are free together."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [int(one.getsockname()[1]) for one in sockets]
    finally:
        for one in sockets:
            one.close()


def weed() -> str:
    """The wheel lays its program beside the interpreter."""
    found = shutil.which("weed", path=f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}")
    if not found:
        raise RuntimeError("SeaweedFS is not installed: run `make test`")
    return found


@contextmanager
def running(folder: Path, ports: list[int]) -> Iterator[Server]:
    """A server on these PORTS ports that keeps its data in the folder; ready when given, killed afterwards."""
    identity = {"name": "test", "credentials": [{"accessKey": ACCESS_KEY, "secretKey": SECRET_KEY}],
                "actions": ["Admin", "Read", "Write", "List", "Tagging"]}  # fmt: skip
    (folder / "s3.json").write_text(json.dumps({"identities": [identity]}))
    listening = [f"-{name}={port}" for name, port in zip(_PORTS, ports, strict=True)]
    command = [weed(), "server", f"-dir={folder}", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-filer", "-s3",
               f"-s3.config={folder / 's3.json'}", "-master.volumeSizeLimitMB=64", "-volume.max=16",
               "-master.telemetry=false", "-s3.port.iceberg=0", "-s3.port.lance=0", *listening]  # fmt: skip
    with (folder / "weed.log").open("wb") as log:
        process = subprocess.Popen(command, cwd=folder, stdout=log, stderr=log, stdin=subprocess.DEVNULL)
    try:
        server = Server(f"http://127.0.0.1:{ports[0]}", process)
        _wait_ready(server, folder)
        yield server
    finally:
        process.kill()
        process.wait()


def _wait_ready(server: Server, folder: Path) -> None:
    """It answers, and takes an object: the volumes are later than the door."""
    client = Minio(server.endpoint.removeprefix("http://"), access_key=ACCESS_KEY, secret_key=SECRET_KEY, secure=False)
    end = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < end and server.process.poll() is None:
        try:
            client.list_buckets()
            return
        except (MinioException, HTTPError, OSError):
            time.sleep(0.2)
    raise RuntimeError(f"SeaweedFS did not start: {(folder / 'weed.log').read_text(errors='replace')[-1500:]}")
