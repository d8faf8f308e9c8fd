"""The processes: their parts opened, a role that row security binds, the clock kept right, an orderly stop.

``web`` answers HTTP, ``dicom`` DIMSE, ``worker`` runs jobs and clocks, ``inference`` the film models, each of several
``ecg`` reads ECGs.  Each runs until SIGTERM or SIGINT, or until the supervisor that started it is gone.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
import threading
from queue import SimpleQueue
from typing import TYPE_CHECKING

from center import loops, observe
from center.errors import Failure, Unavailable, WrongState
from center.postgres import die_with_parent
from center.settings import Settings
from portal.beating import Beating, beat_path
from portal.first_run import refuse_demo_outside

if TYPE_CHECKING:  # wiring brings every room with it: each process imports it only once it runs
    from portal.wiring import Parts

log = observe.log("portal")

#: One of each at least; of ECG readers and of what answers HTTP as many as the settings say.
PROCESSES = ("web", "dicom", "worker", "inference")
#: Set by the supervisor to its process id; a child whose parent is another one has been left alone.
SUPERVISOR = "HELAN_SUPERVISOR"
#: An orderly stop that takes longer than this ends anyway.
STOP_WITHIN_S = 20.0
_CLOCK_EVERY_S = 60.0
#: Large enough that a worklist's open streams never take the place of its pages.
_WEB_BACKLOG = 1024
#: A request's head is there within this: whoever sends half of one holds no place for long.
_HEADERS_WITHIN_MS = 10_000


def members(settings: Settings) -> tuple[str, ...]:
    """The names of all processes: ``KIND`` or ``KIND-NUMBER``."""
    more = (f"web-{n}" for n in range(2, settings.web_processes + 1))  # the kernel deals connections out among them
    return (*PROCESSES, *(f"ecg-{n + 1}" for n in range(settings.ecg_readers)), *more)


def run(process: str, settings: Settings, number: int | None = None) -> int:
    """Serves until told to stop; the exit status.  Raises Failure when it can't begin.

    number: which of several of one kind it is.
    """
    member = process if number is None else f"{process}-{number}"
    observe.start_logging(member)
    if _supervisor() is not None:
        die_with_parent()
    _refuse_orphaned()
    refuse_demo_outside(settings, demo=False)
    stop = threading.Event()
    _stop_when_told(stop)
    threading.Thread(target=_end_with_supervisor, args=(stop,), name="supervisor", daemon=True).start()
    threading.Thread(target=_end_late, args=(stop,), name="late", daemon=True).start()
    from portal import wiring

    parts = wiring.open_parts(settings, process)
    _refuse_powerful(parts)
    _correct_clock(parts)
    beating = Beating(parts.database, member, beat_path(settings.data, member))
    threads = [
        threading.Thread(target=_keep_clock, args=(parts, stop), name="clock", daemon=True),
        threading.Thread(target=beating.touch, args=(stop,), name="beat", daemon=True),
        threading.Thread(target=beating.serve, args=(stop,), name="beats", daemon=True),
    ]
    for thread in threads:
        thread.start()
    try:
        {
            "web": serve_web, "dicom": wiring.run_dicom, "worker": wiring.run_worker,
            "inference": wiring.run_inference, "ecg": wiring.run_ecg,
        }[process](parts, stop)  # fmt: skip
    finally:
        stop.set()
        with contextlib.suppress(Unavailable):
            beating.gone()
        parts.database.close()
        log.info("process.stopped", process=member)
    return 0


def _stop_when_told(stop: threading.Event) -> None:
    """SIGTERM and SIGINT stop in order.  A handler may interrupt itself, and then an Event's lock would never come free:
    it only puts a word into a queue that allows for this, and a thread sets the event."""
    told: SimpleQueue[int] = SimpleQueue()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda got, _: told.put(got))

    def heed() -> None:
        told.get()
        stop.set()

    threading.Thread(target=heed, name="signals", daemon=True).start()


def _refuse_powerful(parts: Parts) -> None:
    """Raises WrongState where row security would not bind this process."""
    try:
        parts.database.refuse_if_powerful()
    except RuntimeError as error:
        raise WrongState(
            "数据库账号权限过大，行级权限对它无效，拒绝运行。请检查 HELAN_DATABASE_WEB 和 HELAN_DATABASE_SERVICE。",
            f"Not running: {error}. Check HELAN_DATABASE_WEB and HELAN_DATABASE_SERVICE.",
        ) from None


def serve_web(parts: Parts, stop: threading.Event) -> None:
    """Answers HTTP until stopped; open event streams are cut at once, so that a stop takes no longer for them."""
    import uvloop

    uvloop.run(_serve_web(parts, stop))


async def _serve_web(parts: Parts, stop: threading.Event) -> None:
    from granian.constants import HTTPModes, Interfaces, SSLProtocols
    from granian.http import HTTP1Settings
    from granian.server.embed import Server

    from portal.web import make_app

    settings = parts.settings
    server = Server(
        make_app(parts),
        address=settings.http.host,
        port=settings.http.port,
        interface=Interfaces.ASGI,
        http=HTTPModes.http1,
        websockets=False,
        backlog=_WEB_BACKLOG,
        ssl_cert=settings.tls_cert,
        ssl_key=settings.tls_key,
        ssl_protocol_min=SSLProtocols.tls12 if settings.tls_min == "1.2" else SSLProtocols.tls13,
        http1_settings=HTTP1Settings(header_read_timeout=_HEADERS_WITHIN_MS),
        log_enabled=False,  # its access lines would hold query strings, and QIDO's carry names
    )
    serving = asyncio.ensure_future(server.serve())
    turning = asyncio.ensure_future(_turn(stop))
    stopping = asyncio.ensure_future(asyncio.to_thread(stop.wait))
    await asyncio.wait({serving, stopping}, return_when=asyncio.FIRST_COMPLETED)
    stop.set()
    turning.cancel()
    server.stop()
    await asyncio.wait({serving}, timeout=5.0)
    if serving.done():
        serving.result()  # what kept it from serving is raised here


async def _turn(stop: threading.Event) -> None:
    """The event loop's beat: while something blocks it no page is answered."""
    beat = loops.beats.begin("pages")
    try:
        while not stop.is_set():
            beat()
            await asyncio.sleep(1.0)
    finally:
        loops.beats.end("pages")


# ---------------------------------------------------------------- the clock
def _correct_clock(parts: Parts) -> None:
    try:
        skew_s = parts.clock.correct(*parts.database.now())
    except Unavailable:
        return
    if not parts.clock.trusted:
        log.warning("clock.skewed", skew_s=round(skew_s, 3))


def _keep_clock(parts: Parts, stop: threading.Event) -> None:
    loops.every(_CLOCK_EVERY_S, "clock", stop, lambda: _correct_clock(parts))


# ---------------------------------------------------------------- living and ending
def _supervisor() -> int | None:
    text = os.environ.get(SUPERVISOR, "")
    return int(text) if text.isdigit() else None


def _refuse_orphaned() -> None:
    """Before it asked for the parent-death signal the supervisor can die: then nobody would end this process."""
    supervisor = _supervisor()
    if supervisor is not None and os.getppid() != supervisor:
        raise Failure("主进程已经结束。", "The supervisor is gone.")


def _end_with_supervisor(stop: threading.Event) -> None:
    supervisor = _supervisor()
    while supervisor is not None and not stop.wait(1.0):
        if os.getppid() != supervisor:
            log.warning("process.left_alone")
            stop.set()


def _end_late(stop: threading.Event) -> None:
    stop.wait()
    timer = threading.Event()
    if not timer.wait(STOP_WITHIN_S):
        log.error("process.stop_took_too_long")
        sys.stderr.flush()
        os._exit(1)
