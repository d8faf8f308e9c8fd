"""Makes ``.venv`` and puts into it what running, the tests or the checks need; a second run finds its stamp.

``python3.11 portal/setup.py run|test|lint`` (called by ``make``).  Standard library only, and nothing of this package:
it runs before anything is installed.  Every failure is a sentence with the command that puts it right.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shlex
import shutil
import subprocess
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
CONSTRAINTS = ROOT / "constraints.txt"
#: What builds the editable install.
TOOLS = ("setuptools==84.2.1",)

#: What the tests want of the system: program -> Debian package.
PROGRAMS = {"storescu": "dcmtk", "chromium": "chromium", "dciodvfy": "dicom3tools", "pdfsig": "poppler-utils"}

STEPS = ("run", "test", "lint")

#: How pip says that no index has this build; the last one where an index has another build of the same version.
_NOT_TO_BE_HAD = ("No matching distribution", "Could not find a version", "ResolutionImpossible")


class SetupFailed(Exception):
    """Set-up cannot go on; the message says what is wrong and what to type, in both languages."""


def say(zh: str, en: str) -> None:
    print(f"{zh}  |  {en}", flush=True)


# ---------------------------------------------------------------- the stamp
def stamp_of(step: str) -> str:
    """The digest that names the result of a step: of the pins, this script, this Python and this place."""
    parts = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt", "portal/setup.py")]
    here = f"{step} {sys.version} {ROOT} {os.environ.get('HELAN_TORCH', '')}"
    return hashlib.sha256(b"\0".join([*parts, here.encode()])).hexdigest()


def stamp_path(step: str) -> Path:
    return VENV / f"helan-{step}.stamp"


def is_done(step: str) -> bool:
    try:
        return PYTHON.exists() and stamp_path(step).read_text() == stamp_of(step)
    except OSError:
        return False


@contextmanager
def alone() -> Iterator[None]:
    """Only one set-up at a time works in this folder; a second one waits."""
    VENV.mkdir(exist_ok=True)
    with (VENV / ".helan-setup.lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


# ---------------------------------------------------------------- python
def refuse_other_python() -> None:
    if sys.version_info[:2] != (3, 11):
        raise SetupFailed(
            f"需要 Python 3.11，当前是 {sys.version.split()[0]}。Debian 12 上请运行：\n"
            f"Python 3.11 is needed, this is {sys.version.split()[0]}. On Debian 12 type:\n\n"
            "    sudo apt-get install -y python3.11 python3.11-venv\n\n"
            "或指定 | or name it: make setup PYTHON=/path/to/python3.11\n"
        )


def make_venv() -> None:
    """``.venv`` with pip in it. Raises SetupFailed."""
    if PYTHON.exists() and _works(PYTHON, "import pip"):
        return
    try:
        import ensurepip
        import venv
    except ImportError:
        raise SetupFailed(
            "这台机器的 Python 缺少 venv 部件。Debian 或 Ubuntu 上请运行：\n"
            "This Python lacks its venv part. On Debian or Ubuntu type:\n\n"
            "    sudo apt-get install -y python3.11-venv\n"
        ) from None
    say("建立 .venv", f"making .venv (pip {ensurepip.version()})")
    venv.EnvBuilder(with_pip=True, symlinks=True, clear=False).create(VENV)


def _works(python: Path, line: str) -> bool:
    return subprocess.run([str(python), "-c", line], capture_output=True, check=False).returncode == 0


# ---------------------------------------------------------------- packages
def pip(*words: str, quiet: bool = True) -> subprocess.CompletedProcess[str]:
    command = [str(PYTHON), "-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--no-compile"]
    command += ["--progress-bar", "off", "-c", str(CONSTRAINTS), *(["-q"] if quiet else []), *words]
    environ = {**os.environ, "PIP_ROOT_USER_ACTION": "ignore", "PYTHONWARNINGS": "ignore"}
    return subprocess.run(command, cwd=ROOT, env=environ, check=False, text=True, stderr=subprocess.PIPE)


def must(done: subprocess.CompletedProcess[str]) -> None:
    """Raises SetupFailed with pip's own words when it failed."""
    if done.returncode:
        raise SetupFailed(
            "pip 没有装好。请查网络或 pip 的索引设置（pip config list），然后再运行一次：已装好的不会重装。\n"
            "pip did not finish. Check the network or pip's index settings (pip config list), then run this again: "
            "what is installed stays.\n\n" + done.stderr.strip()[-2000:]
        )


def requirements(step: str) -> list[str]:
    """What the step installs, as pyproject.toml lists it."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    wanted: list[str] = project["dependencies"] if step == "run" else project["optional-dependencies"][step]
    return [r for r in wanted if not r.startswith("torch==")]


def torch_pin() -> str:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    return next(r for r in project["dependencies"] if r.startswith("torch=="))


def install_torch() -> None:
    """torch's CPU build; the other one only when it was asked for. Raises SetupFailed."""
    pin = torch_pin()
    version = pin.removeprefix("torch==")
    if _works(PYTHON, f"import importlib.metadata as m; assert m.version('torch').split('+')[0] == '{version}'"):
        return
    if os.environ.get("HELAN_TORCH") == "any":
        say("安装 torch（含 CUDA，数 GB）", f"installing {pin} as the index has it (with CUDA: several GB)")
        must(pip(pin))
        return
    say("安装 torch 的 CPU 版（约 200 MB）", f"installing {pin}+cpu (about 200 MB)")
    done = pip(f"{pin}+cpu")
    if not done.returncode:
        return
    if not any(words in done.stderr for words in _NOT_TO_BE_HAD):
        must(done)
    raise SetupFailed(
        f"pip 的索引里没有 {pin}+cpu。普通索引上的同一版本会带来 CUDA（约 3 至 5 GB 的下载）。请二选一：\n"
        f"pip's index has no {pin}+cpu. The same version from the plain index brings CUDA (3 to 5 GB to fetch).\n"
        "Either name an index or a folder that has the CPU build | 指定有 CPU 版的索引或文件夹：\n\n"
        "    PIP_EXTRA_INDEX_URL=https://download.pytorch.org/whl/cpu make setup\n"
        "    PIP_FIND_LINKS=/folder/with/wheels make setup\n\n"
        "or take the large one (needed for a GPU) | 或安装大的版本（用 GPU 时需要）：\n\n"
        "    HELAN_TORCH=any make setup\n"
    )


def install(step: str) -> None:
    """The packages of one step, at the versions that constraints.txt names. Raises SetupFailed."""
    if step == "run":
        must(pip(*TOOLS))
        install_torch()
    wanted = requirements(step)
    names = {"run": ("运行", "running"), "test": ("测试", "the tests"), "lint": ("检查", "the checks")}[step]
    say(f"安装{names[0]}所需的 {len(wanted)} 个包", f"installing {len(wanted)} packages for {names[1]}")
    must(pip(*wanted))
    if step == "run":
        must(pip("--no-deps", "--no-build-isolation", "-e", "."))


# ---------------------------------------------------------------- programs of the system
def missing_programs() -> list[str]:
    """Debian packages whose program is not here."""
    found = {"chromium": shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")}
    return [package for name, package in PROGRAMS.items() if not (found.get(name) or shutil.which(name))]


def install_programs() -> None:
    """DCMTK, Chromium and what else the tests want of the system. Raises SetupFailed with the one command to type."""
    packages = missing_programs()
    if not packages:
        return
    command = ["apt-get", "install", "-y", "--no-install-recommends", *packages]
    prefix = _as_root()
    if prefix is None or not shutil.which("apt-get"):
        raise SetupFailed(
            "测试需要这些系统程序，这里没有权限安装。请运行：\n"
            "The tests need these programs of the system, and may not install them here. Type:\n\n"
            f"    sudo {shlex.join(command)}\n"
        )
    say(f"安装系统程序 {' '.join(packages)}", f"installing {' '.join(packages)}")
    environ = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    for before in ((), ("apt-get", "update")):
        if before:
            subprocess.run([*prefix, *before, "-q"], env=environ, check=False, capture_output=True)
        done = subprocess.run([*prefix, *command, "-q"], env=environ, check=False, capture_output=True, text=True)
        if not done.returncode and not missing_programs():
            return
    still = " ".join(missing_programs())
    raise SetupFailed(
        f"apt-get 没有装好 {still}：\napt-get did not install {still}:\n\n"
        f"{done.stderr.strip()[-1500:]}\n\n    sudo {shlex.join(command)}\n"
    )


def _as_root() -> list[str] | None:
    """What to put before a command to run it as root; None where that needs a password."""
    if os.geteuid() == 0:
        return []
    sudo = shutil.which("sudo")
    if sudo and subprocess.run([sudo, "-n", "true"], capture_output=True, check=False).returncode == 0:
        return [sudo, "-n"]
    return None


# ---------------------------------------------------------------- all of it
def compiled() -> subprocess.Popen[bytes]:
    """Byte code of what was installed, made on all cores beside what comes next; pip would use one, and wait."""
    words = [str(PYTHON), "-W", "ignore", "-m", "compileall", "-q", "-j", "0", str(VENV / "lib")]
    return subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def run(steps: Iterable[str]) -> bool:
    """Whether anything was installed.  Raises SetupFailed."""
    refuse_other_python()
    todo = [s for s in steps if not is_done(s)]
    if todo:
        with alone():
            make_venv()
            for step in (s for s in todo if not is_done(s)):
                began = time.monotonic()
                install(step)
                stamp_path(step).write_text(stamp_of(step))
                say(f"完成，用时 {time.monotonic() - began:.0f} 秒", f"done in {time.monotonic() - began:.0f} s")
    return bool(todo)


def install_web_parts() -> None:
    """OHIF, htmx and the web font, by the script beside this one. Raises SetupFailed when that failed (it said why)."""
    sys.path.insert(0, str(ROOT / "portal"))
    import assets  # by its file: nothing of this package is installed when this runs

    if assets.main():
        raise SetupFailed("网页部件没有装好，原因见上。\nThe web parts were not installed; see above.")


def main(words: list[str]) -> int:
    if len(words) != 1 or words[0] not in STEPS:
        print(f"usage: python3.11 portal/setup.py {'|'.join(STEPS)}", file=sys.stderr)
        return 2
    try:
        byte_code = compiled() if run(STEPS[:1] if words[0] == "run" else ("run", words[0])) else None
        if words[0] != "lint":
            install_web_parts()
        if words[0] == "test":
            install_programs()
        if byte_code is not None:
            byte_code.wait()
    except SetupFailed as failure:
        print(f"\n{failure}\n", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("\n中断。再运行一次会接着做。 | Interrupted; running it again goes on from here.", file=sys.stderr)
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
