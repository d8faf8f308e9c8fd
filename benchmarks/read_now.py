"""From an upload to its read-now task: recordings with a critical value sent over HTTP into a running ``helan up``.

    .venv/bin/python -m benchmarks.read_now --rate 10 --seconds 30 --readers 1 2

Each upload is a WFDB pair of a patient of its own, made with a rate that every profile grades red.  Measured is the time
from the first byte sent to the task's row (its ``made_at``, the database's clock, on the same machine), so it holds the
upload, the wrapping, the case, the queue, the reading and the grading.  Must: p99 <= 15 s; reach: p99 <= 3 s at 10/s.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

import numpy as np

from portal.demo_ecgs import make_ecg, write_wfdb
from tests.region import Person, Region, until

SENDERS = 16
_TASKS = """
select c.study_uid, extract(epoch from t.made_at) from worklist.task t
join worklist."case" c on c.clinic_id = t.clinic_id and c.case_id = t.case_id
where t.kind = 'read_now'
"""


@dataclass(frozen=True, slots=True)
class Upload:
    """began, answered: seconds since 1970."""

    study_uid: str
    began: float
    answered: float


def recordings(count: int, seed: int) -> list[dict[str, bytes]]:
    """WFDB pairs of slow hearts (24 to 31/min), no two alike."""
    return [write_wfdb(make_ecg(seed + n, heart_rate=24 + n % 8), f"red{n}") for n in range(count)]


def send(people: SimpleQueue[Person], files: dict[str, bytes], n: int) -> Upload:
    person = people.get()
    try:
        return _sent(person, files, n)
    finally:
        people.put(person)


def _sent(person: Person, files: dict[str, bytes], n: int) -> Upload:
    parts = [("files", (name, raw, "application/octet-stream")) for name, raw in files.items()]
    began = time.time()
    answer = person.post("/uploads/ecg", files=parts, data={"local_id": f"BENCH-{n}", "name": f"BENCH{n}"})
    assert answer.status_code == 201, answer.text[:300]
    return Upload(answer.json()["study_uid"], began, time.time())


def run(region: Region, login: str, rate: float, seconds: float, seed: int) -> dict[str, object]:
    """What came out, times in seconds."""
    count, people = round(rate * seconds), SimpleQueue[Person]()
    made = recordings(count, seed)
    for _ in range(SENDERS):
        people.put(region.person(login))
    with ThreadPoolExecutor(SENDERS) as pool:
        start, waiting = time.monotonic(), []
        for n, files in enumerate(made):
            time.sleep(max(0.0, start + n / rate - time.monotonic()))
            waiting.append(pool.submit(send, people, files, n))
        sent = [w.result() for w in waiting]
    took = time.monotonic() - start
    uids = {u.study_uid for u in sent}

    def tasks() -> dict[str, float] | None:
        found = {str(uid): float(at) for uid, at in region.rows(_TASKS) if uid in uids}
        return found if len(found) == len(uids) else None

    try:
        at = until("a task for every upload", tasks, 300.0, 0.5)
    except AssertionError:
        at = {str(uid): float(a) for uid, a in region.rows(_TASKS) if uid in uids}
    waits = np.array([at[u.study_uid] - u.began for u in sent if u.study_uid in at])
    answers = np.array([u.answered - u.began for u in sent])
    return {
        "rate_asked_per_s": rate,
        "rate_sent_per_s": round(count / took, 2),
        "uploads": count,
        "tasks": len(at),
        "upload_p50_s": _at(answers, 50),
        "upload_p99_s": _at(answers, 99),
        "task_p50_s": _at(waits, 50),
        "task_p99_s": _at(waits, 99),
        "task_max_s": _at(waits, 100),
        "seed": seed,
    }


def reads_of(region: Region) -> dict[str, float]:
    """CPU seconds of each reader so far: how evenly they share."""
    ticks = os.sysconf("SC_CLK_TCK")
    out: dict[str, float] = {}
    for n in range(region.settings.ecg_readers):
        words = Path(f"/proc/{region.pid_of(f'ecg-{n + 1}')}/stat").read_text().rsplit(")", 1)[1].split()
        out[f"ecg-{n + 1}"] = round((int(words[11]) + int(words[12])) / ticks, 2)
    return out


def _at(values: np.ndarray, percent: float) -> float | None:
    return round(float(np.percentile(values, percent)), 3) if values.size else None


def main() -> int:
    asked = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    asked.add_argument("--rate", type=float, nargs="+", default=[2.0, 10.0], help="uploads a second")
    asked.add_argument("--seconds", type=float, default=30.0)
    asked.add_argument("--readers", type=int, nargs="+", default=[0], help="HELAN_ECG_READERS; 0: as by default")
    asked.add_argument("--login", default="haixiaoyan")
    asked.add_argument("--seed", type=int, default=20261122)
    given = asked.parse_args()
    machine = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count(), "load": os.getloadavg()[0]}
    print(
        json.dumps(
            {"at": datetime.now(UTC).isoformat(timespec="seconds"), "python": platform.python_version(), **machine}
        )
    )
    for readers in given.readers:
        with tempfile.TemporaryDirectory(prefix="read-now-") as folder:
            Path(folder).chmod(0o755)
            region = Region(Path(folder), {"HELAN_ECG_READERS": str(readers)} if readers else {}).start()
            try:
                for n, rate in enumerate(given.rate):
                    out = run(region, given.login, rate, given.seconds, given.seed + 10_000 * n)
                    found = {"readers": region.settings.ecg_readers, **out, "reader_cpu_s": reads_of(region)}
                    print(json.dumps(found), flush=True)
            finally:
                region.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
