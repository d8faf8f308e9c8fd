"""The pages' third-party parts, fetched from npm by pinned version and digest, under ``portal/static/vendor``.

``python -m portal.assets`` (called by ``make setup``) asks the npm client for the packages of ``assets.lock.json``, so
that whatever registry and proxy npm is set to are used; compares each tarball's sha512 with the lock; and lays out
htmx, its SSE extension, the Noto Sans SC web font and the OHIF viewer, moved from ``/`` to ``/ohif/``. Standard
library only: it runs before anything is installed. A second run finds its stamp and does nothing.
"""

from __future__ import annotations

import base64
import fcntl
import gzip
import hashlib
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
LOCK = HERE / "assets.lock.json"
CHINESE = HERE / "ohif_zh.json"
VENDOR = HERE / "static" / "vendor"

#: The folders that this makes, each replaced as a whole.
PARTS = ("htmx", "noto", "ohif")

#: What must be there beside the stamp for a run to have nothing to do.
LANDMARKS = ("ohif/index.html", "ohif/app-config.js", "htmx/htmx.min.js", "htmx/sse.min.js", "noto/noto.css")

COMPRESSIBLE = frozenset({".js", ".css", ".html", ".json", ".svg", ".wasm", ".xml", ".ico"})
SMALLEST_COMPRESSED_BYTES = 1024
BROTLI_QUALITY = 7  # 9 takes four times as long for 2 % less
FETCH_DEADLINE_S = 600
MINIFY_DEADLINE_S = 300

#: Of OHIF's dist: what calls outside hosts, signs in elsewhere, or is only used by the build's own server.
LEFT_OUT = frozenset(
    {
        *("_headers", "_redirects", "serve.json"),
        *("google.js", "oidc-client.min.js", "silent-refresh.html"),
        *("init-service-worker.js", "sw.js"),
        *("es6-shim.min.js", "polyfill.min.js"),
    }
)


class AssetsFailed(Exception):
    """Set-up cannot go on; the message says what is wrong and what to type, in both languages."""


@dataclass(frozen=True, slots=True)
class Package:
    """One npm package at one version; sha512 (base64) is of the tarball as the registry serves it."""

    name: str
    version: str
    sha512: str
    only_on: str = ""

    @property
    def wanted_as(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def tarball(self) -> str:
        """The file name that ``npm pack`` gives it."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


@dataclass(frozen=True, slots=True)
class Patch:
    """One replacement in OHIF's files: in the one file that matches ``file``, exactly ``count`` times."""

    file: str
    find: str
    put: str
    count: int


def _bundle(name: str) -> Patch:
    return Patch(f"{name}.bundle.*.js", '__webpack_require__.p = "/"', '__webpack_require__.p = "/ohif/"', 1)


#: dist is built for "/"; each row moves one kind of address under "/ohif/". Counts are those of @ohif/app 3.13.2.
PATCHES: tuple[Patch, ...] = (
    *map(_bundle, ("app", "136", "2299", "8097", "compute", "histogram-worker", "interpolation", "polySeg")),
    Patch("app.bundle.*.js", "'/dicom-microscopy-viewer/", "'/ohif/dicom-microscopy-viewer/", 1),
    Patch("app.bundle.css", "url(/", "url(/ohif/", 5),
    # beside the report editor the frame is narrow: there the list of series starts folded
    Patch(
        "5696.bundle.*.js",
        "leftPanels: [tracked.thumbnailList],",
        "leftPanels: [tracked.thumbnailList], leftPanelClosed: window.innerWidth < 1100,",
        1,
    ),
    # the service worker's script comes from an outside host: its tag goes before the addresses are moved
    Patch(
        "index.html",
        '<script rel="preload" as="script" type="module" src="/init-service-worker.js"></script>',
        "",
        1,
    ),
    Patch("index.html", 'href="/', 'href="/ohif/', 28),
    Patch("index.html", 'src="/', 'src="/ohif/', 2),
    Patch("index.html", 'content="/', 'content="/ohif/', 2),
    Patch("index.html", 'window.PUBLIC_URL="/"', 'window.PUBLIC_URL="/ohif/"', 2),
    Patch("manifest.json", '"/assets/', '"/ohif/assets/', 9),
    Patch("manifest.json", '"./index.html"', '"/ohif/"', 1),
    Patch("assets/browserconfig.xml", '"/assets/', '"/ohif/assets/', 4),
    Patch("assets/manifest.webapp", '"/assets/', '"/ohif/assets/', 3),
    Patch("assets/yandex-browser-manifest.json", '"/assets/', '"/ohif/assets/', 1),
)

#: No patient in the viewer's own bar: the page's strip above the frame is always there, and the frame is narrow.
#: The frame's address is /ohif/viewer?case=ID&StudyInstanceUIDs=...; all that it asks for lies under that case.
APP_CONFIG = """\
window.config = {
  name: 'helan',
  routerBasename: '/ohif',
  extensions: [],
  modes: [],
  showStudyList: false,
  showPatientInfo: 'disabled',
  maxNumberOfWebWorkers: 3,
  showWarningMessageForCrossOrigin: true,
  showCPUFallbackMessage: true,
  showLoadingIndicator: true,
  strictZSpacingForVolumeViewport: true,
  showErrorDetails: 'production',
  maxNumRequests: { interaction: 100, thumbnail: 5, prefetch: 25 },
  whiteLabeling: {
    createLogoComponentFn: (React) => React.createElement('span', { style: { padding: '0 8px', color: '#9aa5aa' } }, 'OHIF'),
  },
  investigationalUseDialog: { option: 'never' },
  customizationService: [{ 'ohif.tours': { $set: [] } }],
  httpErrorHandler: (error) => {
    if (error.status === 401) parent.postMessage({ type: 'ohif-401' }, location.origin);
  },
  defaultDataSourceName: 'helan',
  dataSources: [
    (() => {
      const id = encodeURIComponent(new URLSearchParams(location.search).get('case') || '');
      const root = '/cases/' + id + '/dicom-web';
      return {
        namespace: '@ohif/extension-default.dataSourcesModule.dicomweb',
        sourceName: 'helan',
        configuration: {
          friendlyName: 'Helan',
          name: 'helan',
          qidoRoot: root,
          wadoRoot: root,
          imageRendering: 'wadors',
          thumbnailRendering: 'thumbnail',
          thumbnailRequestStrategy: 'fetch',
          enableStudyLazyLoad: true,
          supportsWildcard: true,
          omitQuotationForMultipartRequest: true,
          bulkDataURI: { enabled: true },
        },
      };
    })(),
  ],
};
"""


def read_lock(text: str) -> tuple[Package, ...]:
    """The packages of a lock file's text."""
    return tuple(Package(**row) for row in json.loads(text)["packages"])


def platform_key(system: str, machine: str) -> str:
    """What esbuild calls this platform: ``linux-x64``; an unknown machine keeps its own name."""
    cpu = {"x86_64": "x64", "amd64": "x64", "aarch64": "arm64", "arm64": "arm64"}.get(machine.lower(), machine.lower())
    return f"{system.lower()}-{cpu}"


def patched(text: str, patch: Patch) -> str:
    """The text with the patch applied. Raises AssetsFailed when it does not apply exactly ``count`` times."""
    found = text.count(patch.find)
    if found != patch.count:
        raise AssetsFailed(
            f"OHIF：{patch.file} 中应有 {patch.count} 处 {patch.find}，实有 {found} 处。版本与补丁表不符，没有安装。\n"
            f"OHIF: {patch.file} should hold {patch.find} {patch.count} times, it holds it {found} times. "
            "This version does not fit the patch table; nothing was installed."
        )
    return text.replace(patch.find, patch.put)


def with_chinese(script: str, added: Mapping[str, Mapping[str, str]]) -> str:
    """OHIF's app bundle with our Chinese sentences beside its own; where both have one, its own stays."""
    beside = []
    for namespace, sentences in added.items():
        ours = json.dumps(sentences, ensure_ascii=True)
        own = f"{namespace}: zh_{namespace}_namespaceObject"
        if own in script:
            script = patched(script, Patch("app.bundle.js", own, f"{namespace}: {{...{ours}, ...{own.split()[1]}}}", 1))
        else:
            beside.append(f"{namespace}: {ours}")
    head = "const zh = ({\n  zh: {"
    return patched(script, Patch("app.bundle.js", head, head + "".join(f"{b}, " for b in beside), 1))


def stamp_of(*texts: bytes) -> str:
    """The digest that names one result of this script: of the lock, the script and the sentences it adds."""
    return hashlib.sha256(b"\0".join(texts)).hexdigest()


def is_current(vendor: Path, stamp: str) -> bool:
    """The folder holds what this lock and this script make."""
    try:
        kept = (vendor / "stamp").read_text()
    except OSError:
        return False
    return kept == stamp and all((vendor / name).is_file() for name in LANDMARKS)


def say(zh: str, en: str) -> None:
    print(f"{zh}  |  {en}", flush=True)


def need(tool: str) -> str:
    """The tool's path. Raises AssetsFailed with the command that installs it."""
    path = shutil.which(tool)
    if path is None:
        raise AssetsFailed(
            f"找不到 {tool}。网页部件由 npm 取得，需要 Node.js 20 与 npm。Debian 或 Ubuntu 上请运行：\n"
            f"{tool} was not found. The web parts come from npm and need Node.js 20 with npm. "
            "On Debian or Ubuntu type:\n\n    sudo apt-get install -y nodejs npm\n"
        )
    return path


def fetch(packages: Iterable[Package], folder: Path) -> None:
    """Puts the tarballs into the folder, each equal to its lock. Raises AssetsFailed."""
    wanted = list(packages)
    npm = need("npm")
    command = [npm, "pack", "--ignore-scripts", "--prefer-offline", "--loglevel=error", "--pack-destination", "."]
    try:
        done = subprocess.run(
            command + [p.wanted_as for p in wanted],
            cwd=folder,
            check=False,
            capture_output=True,
            text=True,
            timeout=FETCH_DEADLINE_S,
        )
    except subprocess.TimeoutExpired:
        done = subprocess.CompletedProcess(command, 1, "", f"{FETCH_DEADLINE_S} s")
    missing = [p.wanted_as for p in wanted if not (folder / p.tarball).is_file()]
    if done.returncode or missing:
        raise AssetsFailed(
            f"npm 没有取到 {'、'.join(missing) or '部件'}。请查网络或 npm 的 registry 设置，然后再运行一次。\n"
            f"npm could not fetch {', '.join(missing) or 'the packages'}. "
            "Check the network or npm's registry setting, then run this again.\n\n" + done.stderr.strip()
        )
    for package in wanted:
        compare(folder / package.tarball, package)


def compare(tarball: Path, package: Package) -> None:
    """Nothing, when the tarball is the one that the lock names. Raises AssetsFailed."""
    got = base64.b64encode(hashlib.sha512(tarball.read_bytes()).digest()).decode()
    if got != package.sha512:
        raise AssetsFailed(
            f"{package.wanted_as} 的 sha512 与 assets.lock.json 不符，没有安装。\n"
            f"The sha512 of {package.wanted_as} is not the one in assets.lock.json; nothing was installed.\n"
            f"    {got}\n    {package.sha512}"
        )


def unpack(tarball: Path, into: Path, part: str, *, leave: re.Pattern[str] | None = None) -> None:
    """Writes the files under ``package/<part>/`` into the folder, those whose path ``leave`` finds left out."""
    prefix = f"package/{part}/"
    with tarfile.open(tarball) as archive:
        for member in archive:
            name = member.name.removeprefix(prefix)
            if not member.isfile() or name == member.name or ".." in Path(name).parts or (leave and leave.search(name)):
                continue
            _write(archive, member, into / name)


def pick(tarball: Path, inside: str, target: Path) -> None:
    """Writes the one file ``package/<inside>`` to the target. Raises AssetsFailed."""
    with tarfile.open(tarball) as archive:
        try:
            member = archive.getmember("package/" + inside)
        except KeyError:
            raise AssetsFailed(f"{tarball.name} 中没有 {inside}。\n{tarball.name} holds no {inside}.") from None
        _write(archive, member, target)


def _write(archive: tarfile.TarFile, member: tarfile.TarInfo, target: Path) -> None:
    source = archive.extractfile(member)
    if source is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        with source, target.open("wb") as out:
            shutil.copyfileobj(source, out)


def the_one(folder: Path, pattern: str) -> Path:
    """The single file that matches. Raises AssetsFailed."""
    found = list(folder.glob(pattern))
    if len(found) != 1:
        raise AssetsFailed(
            f"OHIF：应有一个 {pattern}，实有 {len(found)} 个。\n"
            f"OHIF: there should be one {pattern}, there are {len(found)}."
        )
    return found[0]


def rebase(dist: Path, chinese: Mapping[str, Mapping[str, str]]) -> None:
    """Moves OHIF's dist from ``/`` to ``/ohif/``, adds our Chinese and our app-config.js."""
    for patch in PATCHES:
        path = the_one(dist, patch.file)
        path.write_text(patched(path.read_text("utf-8"), patch), "utf-8")
    app = the_one(dist, "app.bundle.*.js")
    app.write_text(with_chinese(app.read_text("utf-8"), chinese), "utf-8")
    (dist / "app-config.js").write_text(APP_CONFIG, "utf-8")


def minify(dist: Path, esbuild: Path | None) -> None:
    """Minifies the scripts in place (59 MB to 37 MB); without esbuild for this platform they stay as they are."""
    if esbuild is None:
        say("本机没有对应的 esbuild，脚本不压缩", "no esbuild for this platform: scripts stay unminified")
        return
    scripts = [p.name for p in dist.glob("*.js") if p.name != "app-config.js" and not p.name.endswith(".min.js")]
    esbuild.chmod(0o755)
    command = [str(esbuild), *scripts, "--minify", "--target=chrome109", "--log-level=error"]
    command += ["--outdir=.", "--allow-overwrite"]
    done = subprocess.run(command, cwd=dist, check=False, capture_output=True, text=True, timeout=MINIFY_DEADLINE_S)
    if done.returncode:
        raise AssetsFailed(f"esbuild 失败，没有安装。\nesbuild failed; nothing was installed.\n\n{done.stderr.strip()}")


#: Reads file names from its arguments' file, writes NAME.br beside each; node is there because npm is.
_BROTLI = """
const fs = require('fs'), zlib = require('zlib'), { constants: c } = zlib;
const names = fs.readFileSync(process.argv[1], 'utf8').split('\\n').filter(Boolean);
let next = 0;
const one = () => {
  if (next >= names.length) return;
  const name = names[next++], bytes = fs.readFileSync(name);
  const params = { [c.BROTLI_PARAM_QUALITY]: +process.argv[2], [c.BROTLI_PARAM_SIZE_HINT]: bytes.length };
  zlib.brotliCompress(bytes, { params }, (error, out) => {
    if (error) throw error;
    if (out.length < bytes.length) fs.writeFileSync(name + '.br', out);
    one();
  });
};
for (let i = 0; i < 4; i++) one();
"""


def compress(folders: Iterable[Path], scratch: Path) -> None:
    """Writes ``.gz`` and ``.br`` beside each compressible file of the folders."""
    files = sorted(
        p
        for folder in folders
        for p in folder.rglob("*")
        if p.is_file() and p.suffix in COMPRESSIBLE and p.stat().st_size >= SMALLEST_COMPRESSED_BYTES
    )
    names = scratch / "names"
    names.write_text("".join(f"{p}\n" for p in files))
    brotli = subprocess.Popen([need("node"), "-e", _BROTLI, str(names), str(BROTLI_QUALITY)], stderr=subprocess.PIPE)
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        list(pool.map(_gzip, files))
    _, wrong = brotli.communicate(timeout=MINIFY_DEADLINE_S)
    if brotli.returncode:
        raise AssetsFailed(f"brotli 压缩失败。\nbrotli compression failed.\n\n{wrong.decode(errors='replace')}")


def _gzip(path: Path) -> None:
    squeezed = gzip.compress(path.read_bytes(), 6, mtime=0)
    if len(squeezed) < path.stat().st_size:
        path.with_name(path.name + ".gz").write_bytes(squeezed)


@contextmanager
def alone(vendor: Path) -> Iterator[None]:
    """Only one set-up at a time builds in this folder; a second one waits."""
    vendor.mkdir(parents=True, exist_ok=True)
    with (vendor / ".lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build(into: Path, packages: tuple[Package, ...], chinese: Mapping[str, Mapping[str, str]]) -> None:
    """Fetches everything and lays it out in the empty folder. Raises AssetsFailed."""
    here = platform_key(platform.system(), platform.machine())
    wanted = [p for p in packages if p.only_on in ("", here)]
    tarballs = {p.name: into / "tarballs" / p.tarball for p in wanted}
    (into / "tarballs").mkdir()
    say("取网页部件（约 60 MB）", "fetching the web parts (about 60 MB)")
    fetch(wanted, into / "tarballs")

    say("展开并改写 OHIF 的路径", "unpacking, moving OHIF to /ohif/")
    lay_out(into, tarballs)
    rebase(into / "ohif", chinese)

    say("压缩", "minifying and compressing")
    esbuild = next((tarballs[p.name] for p in wanted if p.only_on), None)
    if esbuild is not None:
        pick(esbuild, "bin/esbuild", into / "esbuild")
    minify(into / "ohif", into / "esbuild" if esbuild is not None else None)
    compress([into / part for part in PARTS], into)


def lay_out(into: Path, tarballs: Mapping[str, Path]) -> None:
    """The parts' folders with their files as they came, each with its licence."""
    htmx, noto, ohif = into / "htmx", into / "noto", into / "ohif"
    pick(tarballs["htmx.org"], "dist/htmx.min.js", htmx / "htmx.min.js")
    pick(tarballs["htmx.org"], "LICENSE", htmx / "LICENSE.htmx")
    pick(tarballs["htmx-ext-sse"], "dist/sse.min.js", htmx / "sse.min.js")
    pick(tarballs["htmx-ext-sse"], "LICENSE", htmx / "LICENSE.sse")

    # its addresses are relative (./files/...), so it is right wherever it is served from
    font = tarballs["@fontsource-variable/noto-sans-sc"]
    pick(font, "index.css", noto / "noto.css")
    pick(font, "LICENSE", noto / "LICENSE")
    unpack(font, noto / "files", "files")

    leave = re.compile(r"^ort/|\.map$|^(" + "|".join(map(re.escape, sorted(LEFT_OUT))) + ")$")
    unpack(tarballs["@ohif/app"], ohif, "dist", leave=leave)
    pick(tarballs["@ohif/app"], "LICENSE", ohif / "LICENSE")


def install(vendor: Path = VENDOR) -> bool:
    """True when something was installed, False when all was there. Raises AssetsFailed."""
    stamp = stamp_of(LOCK.read_bytes(), CHINESE.read_bytes(), Path(__file__).read_bytes())
    if is_current(vendor, stamp):
        return False
    need("node")
    with alone(vendor):
        if is_current(vendor, stamp):
            return False
        for old in vendor.glob(".building-*"):
            shutil.rmtree(old, ignore_errors=True)
        scratch = vendor / f".building-{os.getpid()}"
        scratch.mkdir()
        try:
            build(scratch, read_lock(LOCK.read_text()), json.loads(CHINESE.read_text("utf-8")))
            publish(scratch, vendor, stamp)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return True


def publish(scratch: Path, vendor: Path, stamp: str) -> None:
    """Puts the built parts in place; the stamp goes first and comes back last, so that half a change is seen."""
    (vendor / "stamp").unlink(missing_ok=True)
    for part in PARTS:
        if (vendor / part).exists():
            (vendor / part).rename(scratch / f"old-{part}")
        (scratch / part).rename(vendor / part)
    (scratch / "stamp").write_text(stamp)
    (scratch / "stamp").rename(vendor / "stamp")


def main() -> int:
    began = time.monotonic()
    try:
        if install():
            say(f"网页部件已就绪，用时 {time.monotonic() - began:.0f} 秒", "web parts are ready")
    except AssetsFailed as failure:
        print(f"\n{failure}\n", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
