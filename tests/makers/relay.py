"""A line between a client and a server that can stand still: bytes are taken and acknowledged, and nothing comes back."""

from __future__ import annotations

import contextlib
import select
import socket
import threading
from collections.abc import Iterator


class Relay:
    """Listens on a free port and passes bytes on, both ways, while ``flowing`` is set."""

    def __init__(self, host: str, port: int) -> None:
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = int(self._listener.getsockname()[1])
        self.flowing = threading.Event()
        self.flowing.set()
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while not self._ended.is_set():
            with contextlib.suppress(OSError):
                line, _ = self._listener.accept()
                threading.Thread(target=self._pass_on, args=(line,), daemon=True).start()

    def _pass_on(self, line: socket.socket) -> None:
        with contextlib.suppress(OSError), line, socket.create_connection(self._target) as far:
            while not self._ended.is_set():
                for ready in select.select((line, far), (), (), 0.05)[0]:
                    self.flowing.wait()
                    if not (slab := ready.recv(65536)):
                        return
                    (far if ready is line else line).sendall(slab)

    def close(self) -> None:
        self._ended.set()
        self.flowing.set()
        self._listener.close()


@contextlib.contextmanager
def relay(host: str, port: int) -> Iterator[Relay]:
    made = Relay(host, port)
    try:
        yield made
    finally:
        made.close()
