"""The pages' third-party parts: what the lock promises, what the patches change, what the viewer may ask for."""

from __future__ import annotations

import base64
import io
import json
import re
import shutil
import stat
import tarfile
from pathlib import Path

import pytest

from portal import assets

OUTSIDE = re.compile(r"https?://(?!www\.w3\.org/)|//[a-z0-9-]+\.[a-z]{2,}/", re.IGNORECASE)


@pytest.fixture(scope="module")
def vendor() -> Path:
    """The installed parts; ``make setup`` has made them, otherwise this does."""
    assets.install()
    return assets.VENDOR


def test_the_lock_pins_every_package_by_version_and_sha512() -> None:
    packages = {p.name: p for p in assets.read_lock(assets.LOCK.read_text())}
    assert packages["@ohif/app"].version == "3.13.2"
    assert packages["htmx.org"].version == "2.0.11"
    assert packages["htmx-ext-sse"].version == "2.2.4"
    assert packages["@fontsource-variable/noto-sans-sc"].version == "5.3.1"
    for package in packages.values():
        assert re.fullmatch(r"\d+\.\d+\.\d+", package.version)
        assert len(base64.b64decode(package.sha512, validate=True)) == 64


def test_no_registry_or_outside_service_is_named() -> None:
    for path in (assets.LOCK, Path(assets.__file__)):
        assert not OUTSIDE.search(path.read_text("utf-8")), path.name
    assert not OUTSIDE.search(assets.APP_CONFIG)


def test_the_platform_is_named_as_esbuild_names_it() -> None:
    assert assets.platform_key("Linux", "x86_64") == "linux-x64"
    assert assets.platform_key("Linux", "aarch64") == "linux-arm64"
    assert assets.platform_key("Darwin", "arm64") == "darwin-arm64"
    assert assets.platform_key("Linux", "riscv64") == "linux-riscv64"


def test_a_patch_that_does_not_fit_stops_the_install() -> None:
    patch = assets.Patch("x.css", "url(/", "url(/ohif/", 2)
    assert assets.patched("url(/a) url(/b)", patch) == "url(/ohif/a) url(/ohif/b)"
    with pytest.raises(assets.AssetsFailed) as failed:
        assets.patched("url(/a)", patch)
    assert "补丁" in str(failed.value)
    assert "patch table" in str(failed.value)


def test_our_chinese_stands_beside_the_viewers_own_and_never_over_it() -> None:
    script = "const zh = ({\n  zh: {\n    Buttons: zh_Buttons_namespaceObject,\n    Tools: zh_Tools_namespaceObject\n"
    out = assets.with_chinese(script, {"Buttons": {"Sphere": "球体"}, "StudyItem": {"Tracked series": "已跟踪"}})
    assert out.index('"Sphere"') < out.index("...zh_Buttons_namespaceObject}")
    assert out.startswith("const zh = ({\n  zh: {StudyItem: {")


def test_a_tarball_that_is_not_the_locked_one_is_refused(tmp_path: Path) -> None:
    tarball = tmp_path / "htmx.org-2.0.11.tgz"
    tarball.write_bytes(b"something else")
    package = next(p for p in assets.read_lock(assets.LOCK.read_text()) if p.name == "htmx.org")
    assert package.tarball == tarball.name
    with pytest.raises(assets.AssetsFailed, match="sha512"):
        assets.compare(tarball, package)


def test_unpacking_takes_only_its_part_and_never_leaves_the_folder(tmp_path: Path) -> None:
    tarball = tmp_path / "a.tgz"
    with tarfile.open(tarball, "w:gz") as archive:
        for name in ("package/dist/a.js", "package/dist/a.js.map", "package/dist/../../evil.js", "package/other.js"):
            member = tarfile.TarInfo(name)
            member.size = 1
            archive.addfile(member, io.BytesIO(b"x"))
    assets.unpack(tarball, tmp_path / "out", "dist", leave=re.compile(r"\.map$"))
    assert [p.name for p in (tmp_path / "out").rglob("*")] == ["a.js"]
    assert not (tmp_path / "evil.js").exists()
    with pytest.raises(assets.AssetsFailed):
        assets.pick(tarball, "missing.js", tmp_path / "b.js")


def test_a_missing_tool_is_named_with_the_command_that_installs_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(assets.AssetsFailed) as failed:
        assets.need("npm")
    assert "apt-get install -y nodejs npm" in str(failed.value)
    assert "找不到" in str(failed.value)


def test_a_failed_fetch_says_what_is_missing_and_leaves_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("npm", "node"):
        (tools / name).write_text("#!/bin/sh\necho registry away >&2\nexit 1\n")
        (tools / name).chmod(stat.S_IRWXU)
    monkeypatch.setenv("PATH", str(tools))
    vendor = tmp_path / "vendor"
    (vendor / "ohif").mkdir(parents=True)
    (vendor / "ohif" / "index.html").write_text("old")
    with pytest.raises(assets.AssetsFailed, match=r"npm could not fetch @ohif/app@3\.13\.2") as failed:
        assets.install(vendor)
    assert "registry away" in str(failed.value)
    assert (vendor / "ohif" / "index.html").read_text() == "old"
    assert not list(vendor.glob(".building-*"))


def test_publishing_replaces_whole_folders_and_stamps_last(tmp_path: Path) -> None:
    scratch, vendor = tmp_path / "vendor" / ".building-1", tmp_path / "vendor"
    for part in assets.PARTS:
        (scratch / part).mkdir(parents=True)
        (vendor / part).mkdir()
        (vendor / part / "stale").touch()
    for name in assets.LANDMARKS:
        (scratch / name).touch()
    assert not assets.is_current(vendor, "s")
    assets.publish(scratch, vendor, "s")
    assert assets.is_current(vendor, "s")
    assert not assets.is_current(vendor, "another")
    assert not (vendor / "ohif" / "stale").exists()


def test_compression_writes_gz_and_br_beside_what_shrinks(tmp_path: Path) -> None:
    if shutil.which("node") is None:
        pytest.fail("node is needed: sudo apt-get install -y nodejs npm")
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "a.js").write_text("let a = 1;\n" * 500)
    (tmp_path / "in" / "small.js").write_text("1")
    (tmp_path / "in" / "picture.png").write_bytes(bytes(4000))
    assets.compress([tmp_path / "in"], tmp_path)
    made = sorted(p.name for p in (tmp_path / "in").iterdir())
    assert made == ["a.js", "a.js.br", "a.js.gz", "picture.png", "small.js"]


def test_the_installed_viewer_asks_for_nothing_outside_its_own_path(vendor: Path) -> None:
    ohif = vendor / "ohif"
    index = (ohif / "index.html").read_text("utf-8")
    assert not OUTSIDE.search(index)
    assert "service-worker" not in index
    assert all(a.startswith("/ohif/") for a in re.findall(r'(?:href|src|content)="(/[^"]*)"', index))
    assert set(re.findall(r"url\((/[^)]*)\)", (ohif / "app.bundle.css").read_text("utf-8"))) == {
        "/ohif/a34f9d1faa5f3315.woff2"
    }
    assert (ohif / "app-config.js").read_text("utf-8") == assets.APP_CONFIG
    for name in assets.LEFT_OUT | {"ort"}:
        assert not (ohif / name).exists(), name
    assert not list(ohif.rglob("*.map"))


def test_every_patch_is_in_the_installed_viewer(vendor: Path) -> None:
    ohif = vendor / "ohif"
    for name in ("app", "136", "2299", "8097", "compute", "histogram-worker", "interpolation", "polySeg"):
        script = assets.the_one(ohif, f"{name}.bundle.*.js").read_text("utf-8")
        assert re.search(r'\.p\s*=\s*"/ohif/"', script), name
        assert not re.search(r'\.p\s*=\s*"/"[,;}]', script), name
    app = assets.the_one(ohif, "app.bundle.*.js").read_text("utf-8")
    assert "/ohif/dicom-microscopy-viewer/" in app
    assert "DICOM" in app
    for manifest in ("manifest.json", "assets/yandex-browser-manifest.json", "assets/manifest.webapp"):
        text = (ohif / manifest).read_text("utf-8")
        assert json.loads(text)
        assert '"/assets/' not in text


def test_what_the_browser_loads_first_lies_compressed_beside_it(vendor: Path) -> None:
    for name in ("ohif/app.bundle.css", "htmx/htmx.min.js", "htmx/sse.min.js", "noto/noto.css"):
        path = vendor / name
        for suffix in (".gz", ".br"):
            beside = path.with_name(path.name + suffix)
            assert beside.stat().st_size < path.stat().st_size, beside.name


def test_the_web_font_finds_its_subsets(vendor: Path) -> None:
    noto = vendor / "noto"
    css = (noto / "noto.css").read_text("utf-8")
    files = re.findall(r"url\(\./(files/[^)]+)\)", css)
    assert len(files) > 90
    assert all((noto / f).is_file() for f in files)
    assert "'Noto Sans SC Variable'" in css
