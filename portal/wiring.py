"""The way of a case, and where every part is bound. A newcomer who reads one file reads this one."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache, partial
from pathlib import Path
from typing import TYPE_CHECKING

from center import loops, observe
from center.accounts import Accounts
from center.audit import AuditSealer, AuditVerifier
from center.authority import Authority
from center.clock import RandomIdentifiers, SystemClock
from center.database import Database
from center.errors import Unavailable
from center.jobs import Handler, Runner
from center.notifier import LogNotifier
from center.objects.checked import CheckedStore
from center.objects.directory import DirectoryStore
from center.objects.s3 import S3Store
from center.ports import ObjectStore
from center.scrub import HANDLER as SCRUB
from center.scrub import Scrubber, note_damage
from center.settings import CRITICAL_PROFILES, Settings
from center.signing import CenterSealer, CertificateSigner
from center.web import Web
from dicom_gateway.room import Gateway, report_sop_uid
from ecg.room import MODEL as ECG_MODEL
from ecg.room import VERSION as ECG_VERSION
from ecg.room import read_ecg
from inference.room import Device, Reader, ReadingRoom, ReadStore, Registry, film_reader, load_models
from portal import databases
from portal.inputs import StudyInputs
from portal.live import Live
from portal.pages import renderer
from portal.parts import Parts
from worklist.parts import Parts as WorklistParts
from worklist.pdf import TypstRenderer
from worklist.room import Worklist
from worklist.timing import Timing

if TYPE_CHECKING:
    from fastapi import APIRouter

log = observe.log("portal")

#: What happened -> who acts on it, each in a job of its own, at least once, in no promised order.
SUBSCRIPTIONS: dict[str, tuple[str, ...]] = {
    "StudyCompleted": ("worklist.open_case",),
    "StudyExtended": ("worklist.extend_case",),
    "IdentityCorrected": ("worklist.identity_corrected",),
    "IdentityDoubted": ("worklist.identity_doubted",),
    "CaseOpened": ("inference.read_study", "inference.read_ecg"),
    "CaseExtended": ("inference.read_study", "inference.read_ecg"),
    "PreliminaryReadMade": ("worklist.on_read", "gateway.file_read"),
    "ReportSigned": ("worklist.seal",),
    "ReportSealed": ("gateway.file_report", "worklist.start_deliveries"),
    "ReportWithdrawn": ("gateway.hide_report", "worklist.tell_withdrawn"),
    "DeliveryAcknowledged": ("worklist.settle",),
    "ReportOpened": ("worklist.settle",),
}
#: What is done once at start may take this long, s: a spool of 100,000 objects is looked through in minutes.
_ONCE_WITHIN_S = 3600.0
MODELS = Path(__file__).resolve().parent.parent / "models"
#: Sending waits for others' machines, filing makes PDFs, a morning's studies come all at once: none may hold up a clock
#: or what a critical read asks for.
LANES = (
    ("worklist.deliver",), ("gateway.move",), ("gateway.file_read", "gateway.file_report", "worklist.seal"),
    ("worklist.open_case", "worklist.extend_case"), ("center.verify_audit", "center.scrub"),
)  # fmt: skip


#: Lanes that work several jobs at a time: a spool that piled up drains as fast as the store takes it.
AT_ONCE = {"gateway.move": 4}


def at_once(lane: Mapping[str, Handler]) -> int:
    return max((n for name, n in AT_ONCE.items() if any(h.split(":")[0] == name for h in lane)), default=1)


def lanes(handlers: Mapping[str, Handler]) -> list[dict[str, Handler]]:
    """Each lane's handlers; what no lane names has one of its own. A name may go on after a colon (the spool's host)."""

    def lane_of(name: str) -> int:
        return next((n for n, names in enumerate(LANES) if name.split(":")[0] in names), len(LANES))

    return [{n: h for n, h in handlers.items() if lane_of(n) == lane} for lane in range(len(LANES) + 1)]


def open_parts(settings: Settings, process: str) -> Parts:
    """Everything one process needs; nothing is connected yet.  Raises Unavailable when the database is not set up."""
    clock, identifiers = SystemClock(), RandomIdentifiers()
    role = "helan_web" if process == "web" else "helan_service"
    database = Database(databases.role_dsn(settings, role), SUBSCRIPTIONS, size=16 if process == "web" else 8)
    bare, heads = open_store(settings), open_heads(settings)
    store = CheckedStore(bare, partial(note_damage, database, clock))
    accounts = Accounts(database, clock, identifiers)
    authority = Authority.open(settings.keys_dir, clock)
    signer = CertificateSigner(database, authority, clock, check_password=accounts.check_password)
    sealer, notifier, reads = CenterSealer(authority, clock), LogNotifier(), ReadStore(database)
    gateway = Gateway.open(
        database, store, settings.spool_dir, clock, identifiers, reads,
        reserve_bytes=settings.reserve_bytes, quiet_s=settings.quiet_s, ae_title=settings.ae_title,
    )  # fmt: skip
    demo = (settings.secrets_dir / "demo-logins.json").exists() or process == "demo"
    worklist = Worklist(
        WorklistParts(
            database=database, clock=clock, identifiers=identifiers, objects=store, studies=gateway.index, reads=reads,
            peers=gateway.peers, signer=signer, sealer=sealer, notifier=notifier, renderer=TypstRenderer(),
            report_sop_uid=report_sop_uid, public_url=settings.public_url, timing=_timing(settings), demo=demo,
        )
    )  # fmt: skip
    gateway.bind(reports=worklist, access=worklist)

    @lru_cache(maxsize=1000)
    def clinic_name(clinic_id: str, lang: str) -> str:
        found = next((c for c in accounts.clinics() if c["clinic_id"] == clinic_id), None)
        return str(found["name_en" if lang == "en" else "name"]) if found else ""

    web = Web(
        accounts,
        renderer(clock, demo=demo, clinic_name=clinic_name),
        frozenset({settings.public_url}),
        settings.trusted_proxy,
    )
    return Parts(
        settings, clock, identifiers, database, store, accounts, authority, signer, sealer,
        AuditSealer(database, heads, clock, authority.sign_head),
        AuditVerifier(database, heads, clock, authority.check_head), Scrubber(database, bare, clock), gateway, reads, worklist, Live(database), web,
        notifier.automatic,
    )  # fmt: skip


def open_store(settings: Settings) -> ObjectStore:
    return _store(settings, settings.objects or str(settings.objects_dir))


def open_heads(settings: Settings) -> dict[str, ObjectStore]:
    """Where signed heads of the audit are kept apart: beside the objects, and a second place where one is set."""
    places = {"the object store": open_first_heads(settings)}
    if settings.audit_heads:
        places["the second place"] = _store(settings, settings.audit_heads, "audit-heads")
    return places


def open_first_heads(settings: Settings) -> ObjectStore:
    """The heads beside the objects: what a backup takes along."""
    return _store(settings, settings.objects or str(settings.objects_dir), "audit-heads")


def _store(settings: Settings, place: str, within: str = "") -> ObjectStore:
    """The objects of a folder or an ``s3://bucket``, or those of a folder within it."""
    if place.startswith("s3://"):
        bucket, prefix = place.removeprefix("s3://"), f"{within}/" if within else ""
        s3 = S3Store(settings.s3_endpoint, bucket, settings.s3_access_key, settings.s3_secret_key, prefix)
        with contextlib.suppress(Unavailable):  # away or not ours to make: arrivals wait in the spool, /health says so
            s3.make_bucket()
        return s3
    folder = Path(place) / within
    with contextlib.suppress(OSError):  # a disk that isn't mounted: the store says that it is away
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    return DirectoryStore(folder)


def _timing(settings: Settings) -> Timing:
    return Timing(ladder=settings.ladder_minutes) if settings.ladder_minutes else Timing()


def routers(parts: Parts) -> list[APIRouter]:
    """Every room's HTTP face."""
    from ecg import web as ecg
    from inference import web as inference
    from portal.access import web as access
    from portal.administration import web as administration
    from portal.audit import web as audit
    from portal.jobs import web as jobs
    from portal.uploads import web as uploads
    from worklist.web import routers as worklist

    return [
        *parts.gateway.routers(parts.web),
        *worklist.all_routers(
            parts.web, parts.worklist, studies=parts.gateway.index, identities=parts.gateway.index, clock=parts.clock
        ),
        ecg.router(
            parts.web,
            parts.gateway.index,
            parts.worklist,
            parts.reads,
            parts.clock,
            lambda clinic: next(str(c["zone"]) for c in parts.accounts.clinics() if c["clinic_id"] == clinic),
        ),
        inference.router(parts.web, parts.reads),
        uploads.router(parts.web, parts),
        access.router(parts.web, parts.accounts, parts.signer),
        administration.router(parts.web, parts),
        audit.router(parts.web, parts),
        jobs.router(parts.web, parts),
    ]


# ---------------------------------------------------------------- processes
def worker_handlers(parts: Parts) -> dict[str, Handler]:
    nightly = {parts.audit_verifier.HANDLER: parts.audit_verifier.verify, SCRUB: parts.scrubber.work}
    return {**parts.worklist.handlers, **parts.gateway.handlers, **nightly}


def inference_handlers(parts: Parts) -> dict[str, Handler]:
    """The models are loaded here; one that is refused stays out, and its studies go on without it."""
    registry = _models(parts.settings.device)
    _note_models(parts, registry)
    return _reading(parts, _readers(registry, parts.settings.critical_profile))


def _reading(parts: Parts, readers: Mapping[str, Reader]) -> dict[str, Handler]:
    room = ReadingRoom(parts.database, StudyInputs(parts.gateway.index, parts.reads), readers, parts.clock)
    return {"inference.read_study": room.read_study, "inference.read_ecg": room.read_ecg}


def readers(device: str, critical_profile: str = CRITICAL_PROFILES[0]) -> Mapping[str, Reader]:
    """Who reads which kind of input: no database needed.  The film's model is loaded when the first film comes."""
    return _WhenAsked(device, critical_profile)


class _WhenAsked(Mapping[str, Reader]):
    """An ECG waits for no film model."""

    def __init__(self, device: str, critical_profile: str) -> None:
        self._device = device
        self._profile = critical_profile
        self._loaded: Mapping[str, Reader] | None = None

    def __getitem__(self, kind: str) -> Reader:
        if kind == "ecg":
            return partial(read_ecg, profile=self._profile)
        if self._loaded is None:
            self._loaded = _readers(_models(self._device), self._profile)
        return self._loaded[kind]

    def __iter__(self) -> Iterator[str]:
        return iter(("ecg", "film"))

    def __len__(self) -> int:
        return 2


def _models(device: str) -> Registry:
    registry = load_models(MODELS, Device.chosen(device))
    for refused in registry.refused:
        log.error("model.refused", model=refused.name, code=refused.reason.code)
    return registry


def _note_models(parts: Parts, registry: Registry) -> None:
    """What serves now and what was refused, for the administrator's page."""
    now = parts.clock.now()
    for film in registry.films.values():
        parts.reads.note_model(film.name, film.version, film.digest, serving=True, reason="", now=now)
    for refused in registry.refused:
        parts.reads.note_model(refused.name, "", "", serving=False, reason=refused.reason.code, now=now)
    parts.reads.note_model(ECG_MODEL, ECG_VERSION, "", serving=True, reason="", now=now)  # code of ours, no weights


def _readers(registry: Registry, critical_profile: str) -> Mapping[str, Reader]:
    out: dict[str, Reader] = {"ecg": partial(read_ecg, profile=critical_profile)}
    if (film := registry.films.get("chest_film")) is not None:
        out["film"] = film_reader(film)
    return out


def run_dicom(parts: Parts, stop: threading.Event) -> None:
    """The DIMSE door, until told to stop."""
    parts.gateway.serve_dimse(parts.settings.dicom.host, parts.settings.dicom.port, stop)


def run_worker(parts: Parts, stop: threading.Event) -> None:
    """Jobs and clocks in their lanes, the audit's sealer, and housekeeping."""
    found = lanes(worker_handlers(parts))
    runners = [
        Runner(parts.database, lane, parts.clock, name=f"{n}-{k}")
        for n, lane in enumerate(found)
        for k in range(at_once(lane))
    ]
    threads = [
        threading.Thread(target=parts.audit_sealer.serve, args=(stop,), name="audit", daemon=True),
        threading.Thread(target=_once, args=("reclaim", stop, parts.gateway.reclaim), daemon=True),
        threading.Thread(target=_once, args=("nightly", stop, partial(_each_night, parts)), daemon=True),
    ]
    _run(threads + _serving(runners, stop), stop)


def _each_night(parts: Parts) -> None:
    parts.audit_verifier.each_night()
    parts.scrubber.each_night()


def run_inference(parts: Parts, stop: threading.Event) -> None:
    """The film models, one read at a time: a second thread on a busy machine only makes both slow."""
    _run(_serving([_runner(parts, inference_handlers(parts), "inference.read_study")], stop), stop)


def run_ecg(parts: Parts, stop: threading.Event) -> None:
    """One of several readers of ECGs: processes, because the engine's many small steps hold the interpreter's lock.  An
    ECG waits for no film."""
    handlers = _reading(parts, {"ecg": partial(read_ecg, profile=parts.settings.critical_profile)})
    _run(_serving([_runner(parts, handlers, "inference.read_ecg")], stop), stop)


def _runner(parts: Parts, handlers: Mapping[str, Handler], name: str) -> Runner:
    return Runner(parts.database, {name: handlers[name]}, parts.clock, name=name)


def _serving(runners: list[Runner], stop: threading.Event) -> list[threading.Thread]:
    """A thread for each lane's jobs and one for its leases; what dead processes of this host had in hand is given back."""
    host = socket.gethostname()
    threads = [threading.Thread(target=r.serve, args=(stop,), name=f"lane-{n}") for n, r in enumerate(runners)]
    threads += [threading.Thread(target=r.serve_housekeeping, args=(stop,), daemon=True) for r in runners]
    give_back = partial(runners[0].give_back_mine, host)
    return [threading.Thread(target=_once, args=("give back", stop, give_back), daemon=True), *threads]


def _once(loop: str, stop: threading.Event, work: Callable[[], object]) -> None:
    """Until it was done once, whatever it meets before: nothing else waits for it."""
    loops.keep(loop, stop, lambda _: work(), within_s=_ONCE_WITHIN_S, once=True)


def _run(threads: list[threading.Thread], stop: threading.Event) -> None:
    for thread in threads:
        thread.start()
    stop.wait()
    for thread in threads:
        thread.join(timeout=10.0)
