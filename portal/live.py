"""Open pages hear of changes: one database listener a process, fanned out to bounded queues by clinic."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field

from center.accounts import ACCESS_ENDED
from center.codes import Role
from center.database import Database
from center.identity import Actor

_QUEUE = 100
_PING_S = 15.0
_END = "end"
#: Whether the page's session is in force still.
StillSignedIn = Callable[[], Awaitable[bool]]


@dataclass(eq=False)
class _Listener:
    actor: Actor
    loop: asyncio.AbstractEventLoop
    queue: asyncio.Queue[tuple[str, str]] = field(default_factory=lambda: asyncio.Queue(_QUEUE))

    def offer(self, event: str, text: str) -> None:
        """Called in the loop; a full queue forgets the oldest: the page reads everything again anyway."""
        if self.queue.full():
            self.queue.get_nowait()
        self.queue.put_nowait((event, text))


class Live:
    """Notifications of the database -> server-sent events of those who may see that clinic."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: set[_Listener] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._listen, name="live", daemon=True)
                self._thread.start()

    def stop(self) -> None:
        self._stop.set()

    async def stream(self, actor: Actor, still: StillSignedIn) -> AsyncIterator[bytes]:
        """The event stream of one page: ``change`` and ``alert`` with ids, a ping every 15 s.

        It ends when the person's access does: at once where that was told, else with the next ping.
        """
        self.start()
        listener = _Listener(actor, asyncio.get_running_loop())
        with self._lock:
            self._listeners.add(listener)
        try:
            number = 0
            yield b"retry: 2000\nevent: hello\ndata: {}\n\n"  # after a gap the page reads everything again
            while not self._stop.is_set():
                try:
                    event, text = await asyncio.wait_for(listener.queue.get(), _PING_S)
                except TimeoutError:
                    if not await still():
                        return
                    yield b": ping\n\n"
                    continue
                if event == _END:
                    return
                number += 1
                yield f"id: {number}\nevent: {event}\ndata: {text}\n\n".encode()
        finally:
            with self._lock:
                self._listeners.discard(listener)

    def _listen(self) -> None:
        for note in self._database.listen("helan_page", stop=self._stop, quiet_s=5.0):
            if note is not None:
                self._fan_out(note[1])

    def _fan_out(self, text: str) -> None:
        try:
            note = json.loads(text)
        except ValueError:
            return
        event = "alert" if "alert" in str(note.get("kind", "")).lower() else "change"
        with self._lock:
            listeners = tuple(self._listeners)
        if note.get("kind") == ACCESS_ENDED:
            for listener in listeners:
                if listener.actor.person_id == note.get("person_id"):
                    listener.loop.call_soon_threadsafe(listener.offer, _END, "")
            return
        for listener in listeners:
            if note.get("clinic_id") in listener.actor.clinics:
                listener.loop.call_soon_threadsafe(listener.offer, event, text)
            elif listener.actor.has_role(Role.DISPATCHER):  # sees every clinic's board, through its view
                listener.loop.call_soon_threadsafe(listener.offer, event, "{}")
