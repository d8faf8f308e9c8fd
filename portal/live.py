"""Open pages hear of changes: one database listener a process, fanned out to bounded queues by clinic."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any

from center import loops
from center.accounts import ACCESS_ENDED
from center.clock import monotonic_s
from center.codes import Role
from center.database import Database
from center.identity import Actor

_QUEUE = 100
_PING_S = 15.0
_END = "end"
_ARRIVED = "InstanceArrived"
#: Whose page shows how many images of a study have come.
_UPLOADERS = frozenset({Role.TECHNICIAN, Role.CLINIC_DOCTOR})
#: News of one study or case goes out so often at most (ours: a person sees no difference).
ONE_EVERY_S = 1.0
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


class Pace:
    """Which news goes out now: the first of a kind at once, of those that follow within a second the last, once it is over."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._sent: dict[str, float] = {}
        self._held: dict[str, str] = {}

    def may(self, about: str, text: str) -> bool:
        """It goes out now; False: it is held."""
        if self._monotonic() - self._sent.get(about, -ONE_EVERY_S) >= ONE_EVERY_S and about not in self._held:
            self._sent[about] = self._monotonic()
            return True
        self._held[about] = text
        return False

    def due(self) -> list[str]:
        """What was held and may go out now."""
        now = self._monotonic()
        out = [about for about in self._held if now - self._sent.get(about, 0.0) >= ONE_EVERY_S]
        texts = [self._held.pop(about) for about in out]
        self._sent = {about: at for about, at in self._sent.items() if now - at < ONE_EVERY_S}
        self._sent |= dict.fromkeys(out, now)
        return texts


def _shows_arrivals(actor: Actor, clinic_id: str) -> bool:
    return any(m.clinic_id == clinic_id and m.role in _UPLOADERS for m in actor.memberships)


class Live:
    """Notifications of the database -> server-sent events of those who may see that clinic."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._listeners: set[_Listener] = set()
        self._lock = threading.Lock()
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._pace = Pace(monotonic_s)

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
        loops.keep("live", self._stop, self._live)

    def _live(self, beat: loops.Beat) -> None:
        for note in self._database.listen("helan_page", stop=self._stop, quiet_s=ONE_EVERY_S):
            beat()
            if note is not None:
                self._hear(note[1])
            for text in self._pace.due():
                self._fan_out(json.loads(text), text)

    def _hear(self, text: str) -> None:
        """One thing's news goes out once a second: a CT of 500 slices is one change, not 500."""
        try:
            note = json.loads(text)
        except ValueError:
            return
        about = "|".join(str(note.get(name, "")) for name in ("clinic_id", "kind", "study_uid", "case_id", "person_id"))
        if "alert" in str(note.get("kind", "")).lower() or self._pace.may(about, text):
            self._fan_out(note, text)

    def _fan_out(self, note: dict[str, Any], text: str) -> None:
        event = "alert" if "alert" in str(note.get("kind", "")).lower() else "change"
        with self._lock:
            listeners = tuple(self._listeners)
        if note.get("kind") == ACCESS_ENDED:
            for listener in listeners:
                if listener.actor.person_id == note.get("person_id"):
                    listener.loop.call_soon_threadsafe(listener.offer, _END, "")
            return
        for listener in listeners:
            if note.get("kind") == _ARRIVED and not _shows_arrivals(listener.actor, str(note.get("clinic_id"))):
                continue  # lists of cases show no study before it is complete
            if note.get("clinic_id") in listener.actor.clinics:
                listener.loop.call_soon_threadsafe(listener.offer, event, text)
            elif listener.actor.has_role(Role.DISPATCHER):  # sees every clinic's board, through its view
                listener.loop.call_soon_threadsafe(listener.offer, event, "{}")
