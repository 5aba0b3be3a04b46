"""-U, --force-share: what another program has open for writing is read only where it is asked for."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from imsprep.system import lease
from tests.support.running import Outcome
from tests.support.zvhd2.files import of_disk

MIB = 1 << 20
REQUEST = ("--name", "web01", "--os-version", "Debian GNU/Linux 10.0.0 64bit", "--min-disk", "40", "--poll", "0.05", "--to", "local:{}/cloud")  # fmt: skip
Run = Callable[..., Outcome]

# Every command that reads an image as a whole.
COMMANDS = {
    "bitmap": ("bitmap", "{}/disk.raw", "-o", "{}/out.mf"),
    "bmap": ("bitmap", "{}/disk.raw", "--format", "bmap"),
    "verify": ("verify", "{}/disk.raw"),
    "pack": ("convert", "{}/disk.raw", "{}/out.zvhd2"),
    "unpack": ("convert", "{}/packed.zvhd2", "{}/out.raw"),
    "pack again": ("convert", "{}/packed.zvhd2", "{}/out.zvhd2"),
    "digest": ("digest", "{}/disk.raw"),
    "digest of a ZVHD2": ("digest", "{}/packed.zvhd2"),
    "check --scan": ("check", "{}/disk.raw", "--scan", "--fail-on", "never"),
    "check --deep": ("check", "{}/packed.zvhd2", "--deep", "--fail-on", "never"),
    "upload": ("upload", "{}/disk.raw", "--to", "local:{}/cloud"),
    "upload --dry-run": ("upload", "{}/disk.raw", "--to", "local:{}/cloud", "--dry-run"),
    "upload --no-copy": ("upload", "{}/disk.raw", "--to", "local:{}/cloud", "--no-copy"),
    "import": ("import", "{}/disk.raw", *REQUEST),
    "import --dry-run": ("import", "{}/disk.raw", *REQUEST, "--dry-run"),
    "import --via zvhd2": ("import", "{}/disk.raw", *REQUEST, "--via", "zvhd2"),
    "import of a ZVHD2": ("import", "{}/packed.zvhd2", *REQUEST),
}


@contextmanager
def a_writer(*paths: Path) -> Iterator[None]:
    """Hold files open for writing, mapped, with a page dirty already: their times stay the same."""
    files = [os.open(path, os.O_RDWR) for path in paths]
    maps = [mmap.mmap(file, 4096) for file in files]
    for mapped in maps:
        mapped[0] = mapped[0]
    yield
    for mapped in maps:
        mapped.close()
    for file in files:
        os.close(file)


@pytest.fixture
def folder(imsprep: Run, tmp_path: Path) -> Path:
    """A RAW image with its bitmap, and the ZVHD2 of its disk."""
    disk = bytearray(12 * MIB)
    disk[:512] = b"\xeb" + bytes(509) + b"\x55\xaa"
    disk[9 * MIB] = 1
    (tmp_path / "disk.raw").write_bytes(disk)
    (tmp_path / "packed.zvhd2").write_bytes(of_disk(bytes(disk)))
    assert imsprep("bitmap", tmp_path / "disk.raw").code == 0
    with open(tmp_path / "disk.raw", "rb") as file:
        if lease.writers(file.fileno()).state != lease.NONE:
            pytest.skip("the temporary folder lies on a file system that does not tell")
    return tmp_path


def run(imsprep: Run, folder: Path, command: str, *more: str) -> Outcome:
    return imsprep(*(word.format(folder) for word in COMMANDS[command]), *more)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_an_image_that_a_program_may_write_to_is_refused(
    command: str, imsprep: Run, folder: Path
) -> None:
    before = sorted(folder.iterdir())
    with a_writer(folder / "disk.raw", folder / "packed.zvhd2"):
        done = run(imsprep, folder, command)
    assert (done.code, done.out) == (3, ""), done.err
    assert "open for writing by" in done.err
    assert "--force-share" in done.err or command.startswith("check")  # it goes on with others
    assert sorted(folder.iterdir()) == before  # nothing was made


@pytest.mark.slow
@pytest.mark.parametrize("command", [c for c in COMMANDS if not c.startswith("import")])
def test_it_is_read_where_that_is_asked_for_and_the_result_says_so(
    command: str, imsprep: Run, folder: Path
) -> None:
    with a_writer(folder / "disk.raw", folder / "packed.zvhd2"):
        done = run(imsprep, folder, command, "-U")
    assert done.code == (command == "verify"), done.err  # the writer's store made it stale
    assert "open for writing by" in done.out + done.err or "dry-run" in command


@pytest.mark.slow
@pytest.mark.parametrize("writer", [False, True])
def test_the_manifest_says_whether_a_program_could_write(
    writer: bool, imsprep: Run, folder: Path
) -> None:
    with a_writer(*([folder / "disk.raw"] if writer else [])):
        done = run(imsprep, folder, "import", *(["--force-share"] if writer else []))
    assert done.code == 0, done.err
    sharing = json.loads((folder / "disk.imsprep.json").read_text())["image"]["sharing"]
    assert sharing["writers"] == ("allowed" if writer else "none")
    assert ("process" in sharing["why"]) == writer


@pytest.mark.parametrize("command", ["bitmap", "verify", "check --scan"])
def test_a_result_says_where_it_could_not_be_determined(
    command: str, imsprep: Run, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lease, "file_system", lambda file: "nfs4")
    done = run(imsprep, folder, command)
    assert done.code == 0
    assert "could not determine whether a program writes to it" in " ".join(done.out.split())
    done = run(imsprep, folder, command, "--json")
    assert '"writers": "unknown"' in done.out


def test_an_image_that_is_only_looked_at_may_be_in_use(imsprep: Run, folder: Path) -> None:
    with a_writer(folder / "disk.raw"):
        assert imsprep("check", folder / "disk.raw", "--fail-on", "never").code == 0
        assert imsprep("info", folder / "disk.raw").code == 0
