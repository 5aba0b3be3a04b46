"""`imsprep check`: exit codes and the sentence for each way in which an image can be wrong."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from imsprep.units import MIB, TIB
from tests.support.checks.rules import RULES
from tests.support.image.raw_disk import make_uefi_disk
from tests.support.running import Outcome, need
from tests.support.terminal import run_on_terminal

Run = Callable[..., Outcome]


def sparse(path: Path, size: int, *data: tuple[int, bytes]) -> Path:
    """Make a file of holes with a few bytes in it."""
    with path.open("wb") as file:
        file.truncate(size)
        for offset, text in data:
            file.seek(offset)
            file.write(text)
    return path


def test_a_plain_image_passes(imsprep: Run, tmp_path: Path) -> None:
    assert imsprep("check", sparse(tmp_path / "disk.raw", 1 << 30, (5000, b"data"))).code == 0


@need("qemu-img")
def test_an_empty_qcow2_named_raw_fails_by_its_disk(imsprep: Run, tmp_path: Path) -> None:
    path = tmp_path / "disk.raw"
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1G"], check=True)
    outcome = imsprep("check", path)
    assert outcome.code == 1
    assert "all 1 GiB" in outcome.out
    assert "the content is qcow2" in outcome.out


@need("qemu-img")
def test_every_report_has_the_reason_of_an_image_that_is_cut(imsprep: Run, tmp_path: Path) -> None:
    path, raw = tmp_path / "disk.qcow2", sparse(tmp_path / "raw", 8 * MIB, (0, b"x" * MIB))
    subprocess.run(["qemu-img", "convert", "-O", "qcow2", raw, path], check=True)
    os.truncate(path, path.stat().st_size - 512 * 1024)
    files = {name: tmp_path / name for name in ("junit", "html", "json", "sarif")}
    outputs = [word for name, file in files.items() for word in ("--output", f"{name}:{file}")]
    assert imsprep("check", path, *outputs).code == 1
    shown = {name: file.read_text() for name, file in files.items()}
    for name in ("junit", "html", "json"):
        assert "of one that cannot be read neither is possible" in shown[name], name
        assert "Quick import takes RAW and ZVHD2 only" not in shown[name], name
    assert "<dt>where</dt>" not in shown["html"], "the signature is not where it is cut"
    assert "byteOffset" not in shown["sarif"]
    assert 'name="IMS101 The disk in the file can be read,' in shown["junit"]


def test_an_empty_file_fails(imsprep: Run, tmp_path: Path) -> None:
    outcome = imsprep("check", sparse(tmp_path / "disk.raw", 0))
    assert outcome.code == 1
    assert "IMS106" in outcome.out


def test_a_tib_passes_and_one_sector_more_fails(imsprep: Run, tmp_path: Path) -> None:
    path = sparse(tmp_path / "disk.raw", TIB, (0, b"x"))
    assert "IMS107 error" not in imsprep("check", path).out
    os.truncate(path, TIB + 512)
    outcome = imsprep("check", path)
    assert outcome.code == 1
    assert "512 bytes above the limit" in outcome.out


@pytest.mark.parametrize("kind", ["missing", "directory", "fifo", "loop"])
def test_what_cannot_be_checked_is_not_a_bad_image(imsprep: Run, tmp_path: Path, kind: str) -> None:
    path = tmp_path / "disk.raw"
    if kind == "directory":
        path = tmp_path
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    outcome = imsprep("check", path)
    assert outcome.code == 3
    assert "Traceback" not in outcome.err
    assert outcome.err.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize(
    "command",
    [
        ["convert", "FIFO", "disk.zvhd2"],
        ["import", "FIFO", "--name", "a", "--type", "DataImage", "--min-disk", "40",
         "--to", "local:cloud"],
        ["upload", "FIFO", "--to", "local:cloud"],
        ["bitmap", "FIFO"], ["verify", "FIFO"], ["info", "FIFO"], ["bench", "FIFO"],
    ],
    ids=lambda words: words[0],
)  # fmt: skip
def test_no_command_waits_for_somebody_to_write_into_a_fifo(
    command: list[str], tmp_path: Path
) -> None:
    os.mkfifo(tmp_path / "FIFO")
    words = [sys.executable, "-m", "imsprep", *command]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stderr.count("\n")) == (3, 1)
    assert "FIFO: neither a file nor a block device" in done.stderr


_IMPORT = ["import", "disk.raw", "--via", "raw", "--name", "a", "--type", "DataImage", "--min-disk", "10",
           "--to", "local:cloud"]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fifo", "command", "code", "said"),
    [
        ("disk.mf", ["verify", "disk.raw"], 3, "not a regular file"),
        ("disk.mf", ["check", "disk.raw"], 1, "not a regular file"),
        ("disk.mf", ["bitmap", "disk.raw"], 2, "not a regular file"),
        ("disk.mf", _IMPORT, 2, "not a regular file"),
        ("disk.mf.json", ["bitmap", "disk.raw"], 2, "not a regular file"),
        ("disk.mf.json", ["verify", "disk.raw"], 0, "no sidecar and no layout"),
        ("disk.mf.json", _IMPORT, 2, "not a regular file"),
        ("other", ["verify", "disk.raw", "--bitmap", "other"], 3, "not a regular file"),
        ("other", [*_IMPORT, "--bitmap", "other"], 1, "not a regular file"),
        ("disk.imsprep.json", _IMPORT, 3, "not a regular file; move it away"),
        (
            "disk.zvhd2.json",
            [*_IMPORT, "--via", "zvhd2", "--work-dir", "."],
            2,
            "not a regular file",
        ),
    ],
)
def test_no_command_waits_for_a_fifo_beside_the_image(
    fifo: str, command: list[str], code: int, said: str, tmp_path: Path
) -> None:
    sparse(tmp_path / "disk.raw", 4 << 20, (0, b"x"))
    if fifo == "disk.mf.json":
        (tmp_path / "disk.mf").write_bytes(b"\x01")
    os.mkfifo(tmp_path / fifo)
    words = [sys.executable, "-m", "imsprep", *command]
    done = subprocess.run(words, cwd=tmp_path, capture_output=True, text=True, timeout=30)
    assert done.returncode == code, done.stderr
    assert said in done.stderr + done.stdout
    assert "Traceback" not in done.stderr
    assert not list(tmp_path.glob("cloud/*/*.raw"))


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become nobody")
def test_an_unreadable_file_cannot_be_checked(tmp_path: Path) -> None:
    path = sparse(tmp_path / "disk.raw", 4096, (0, b"x"))
    path.chmod(0)
    from imsprep.errors import ReadError
    from imsprep.image.file import RawImage

    child = os.fork()
    if child == 0:
        os.setgroups([])
        os.setuid(65534)
        code = 0
        try:
            with RawImage.open(path):
                pass
        except ReadError as error:
            code = error.exit_code if "ermission" in str(error) else 9
        os._exit(code)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 3


def test_the_image_is_not_touched(imsprep: Run, tmp_path: Path) -> None:
    path = sparse(tmp_path / "disk.raw", 1 << 20, (0, b"x"))
    before = (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_blocks)
    imsprep("check", path)
    assert (path.read_bytes(), path.stat().st_mtime_ns, path.stat().st_blocks) == before


def test_an_interruption_stops_the_other_scans(tmp_path: Path) -> None:
    from imsprep.checks.check import CheckTask, preflight
    from imsprep.checks.gather_facts import Look

    images = [sparse(tmp_path / f"{n}.raw", 1 << 20, (0, b"x")) for n in range(8)]

    def interrupt(count: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        preflight(images, CheckTask(look=Look(scan=True)), jobs=2, progress=interrupt)


def test_a_scan_tells_how_much_will_be_uploaded(imsprep: Run, tmp_path: Path) -> None:
    path = sparse(tmp_path / "disk.raw", 64 << 20, (5 << 20, b"x"), (63 << 20, b"y"))
    (image,) = imsprep("check", path, "--scan", "--json").json["images"]
    assert image["facts"]["data_bytes"] == 4 << 20
    assert sum(image["facts"]["coverage"].values()) == 64 << 20
    cells = image["facts"]["cells"]
    assert sum(cell[1] for cell in cells) == 64 << 20
    assert sum(cell[3] for cell in cells) == 4 << 20


def test_people_are_told_how_the_scan_knows(imsprep: Run, tmp_path: Path) -> None:
    path = sparse(tmp_path / "disk.raw", 64 << 20, (5 << 20, b"x" * 4096))
    html = f"html:{tmp_path}/page.html"
    options = ("--format", "text", "--holes", "trust", "--output", html)
    outcome = imsprep("check", path, *options, "--scan")
    assert "data: 2 MiB, in blocks of 2 MiB" in outcome.out
    assert "coverage: holes 64 MiB, probed 4 KiB, read 0 bytes" in outcome.out
    page = (tmp_path / "page.html").read_text()
    assert 'Holes</dt><dd title="67104768 bytes">' in page
    for more in ((), options):  # a page asks for the scan, and the text says nothing of it
        assert "coverage:" not in imsprep("check", path, *more).out


def test_the_page_shows_no_picture_of_an_earlier_boot(imsprep: Run, tmp_path: Path) -> None:
    """It may be that of another image of the same name."""
    path = sparse(tmp_path / "disk.raw", 64 << 20, (5 << 20, b"x" * 4096))
    path.with_name("disk.raw.boot.png").write_bytes(b"\x89PNG\r\n")
    assert imsprep("check", path, "--output", f"html:{tmp_path}/page.html").code == 0
    page = (tmp_path / "page.html").read_text()
    assert "when it was started" not in page
    assert "<img" not in page


@pytest.mark.parametrize(
    ("images", "jobs", "each"), [(1, 8, None), (8, 8, 1), (2, 8, 4), (8, 1, 8), (8, 3, 2)]
)
def test_images_side_by_side_share_the_cpus(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, images: int, jobs: int, each: int | None
) -> None:
    from imsprep.checks import check, gather_facts
    from imsprep.image.file import RawImage
    from imsprep.options import ScanOptions
    from imsprep.scan import scan

    given: list[int | None] = []

    def counted(image: RawImage, options: ScanOptions, *rest: Any) -> scan.Scan:
        given.append(options.jobs)
        return scan.scan(image, options, *rest)

    monkeypatch.setattr(check, "usable_cpus", lambda: 8)
    monkeypatch.setattr(gather_facts, "scan", counted)
    paths = [sparse(tmp_path / f"{n}.raw", 8192, (0, b"x")) for n in range(images)]
    run = check.preflight(paths, check.CheckTask(look=gather_facts.Look(scan=True)), jobs=jobs)
    assert given == [each] * images
    assert not run.failures


@pytest.mark.parametrize("name", ["disk.mf", "disk.mf.json", "disk.imsprep.json", "disk.raw.upload.json", "disk.zvhd2", "disk.zvhd2.json", "disk.zvhd2.upload.json"])  # fmt: skip
def test_a_report_replaces_nothing_that_belongs_to_the_image(
    imsprep: Run, tmp_path: Path, name: str
) -> None:
    disk = sparse(tmp_path / "disk.raw", 1 << 20, (5000, b"data"))
    (tmp_path / name).write_text("{}")
    outcome = imsprep("check", disk, "--output", f"json:{tmp_path / name}")
    assert (outcome.code, outcome.err.startswith("imsprep: --output would replace ")) == (2, True)
    assert (tmp_path / name).read_text() == "{}"


@pytest.mark.parametrize("offset", [0, 1 << 20])
def test_a_report_replaces_no_other_disk(imsprep: Run, tmp_path: Path, offset: int) -> None:
    disk = sparse(tmp_path / "disk.raw", 1 << 20, (5000, b"data"))
    other = tmp_path / "other.img"
    before = (b"x" * (1 << 20))[: 1 << 20] + bytes(512)
    other.write_bytes(before[offset:] + before[:offset])
    outcome = imsprep("check", disk, "--output", f"json:{other}")
    assert (outcome.code, outcome.err.endswith("which is not a report\n")) == (2, True)
    report = tmp_path / "report.json"
    for _ in range(2):  # an older report is replaced, as ever
        assert imsprep("check", disk, "--fail-on", "never", "--output", f"json:{report}").code == 0


@pytest.mark.parametrize("name", ["disk.raw", "../images/disk.raw", "hard.raw", "soft.raw"])
@pytest.mark.parametrize("asked", ["disk.raw", "."])
def test_a_report_never_replaces_the_image(
    imsprep: Run, tmp_path: Path, name: str, asked: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images").mkdir()
    monkeypatch.chdir(tmp_path / "images")
    disk = sparse(Path("disk.raw"), 1 << 20, (5000, b"data"))
    os.link(disk, "hard.raw")
    os.symlink(disk, "soft.raw")
    before = disk.read_bytes()
    outcome = imsprep("check", asked, "--output", f"json:{name}")
    assert (outcome.code, outcome.err.startswith("imsprep: --output would replace ")) == (2, True)
    assert disk.read_bytes() == before == Path(name).read_bytes()


def test_a_report_that_cannot_be_made_is_known_before_the_check(
    imsprep: Run, tmp_path: Path
) -> None:
    image = sparse(tmp_path / "disk.raw", MIB)
    (tmp_path / "file").touch()
    done = imsprep("check", image, "--output", f"html:{tmp_path / 'file' / 'x.html'}")
    assert (done.code, done.out) == (2, "")
    assert done.err.startswith("imsprep: --output: cannot write ")
    report = tmp_path / "reports" / "new" / "x.html"
    assert imsprep("check", image, "--output", f"html:{report}").code == 1
    assert report.is_file()


def test_two_reports_do_not_share_a_file(imsprep: Run, tmp_path: Path) -> None:
    disk = sparse(tmp_path / "disk.raw", 1 << 20, (5000, b"data"))
    (tmp_path / "there").touch()
    for name in ("there", "new"):
        twice = f"json:{tmp_path}/{name}", "--output", f"html:{tmp_path}/./{name}"
        assert imsprep("check", disk, "--output", *twice).code == 2


@pytest.mark.slow
def test_a_report_goes_into_a_pipe_and_into_an_open_file(tmp_path: Path) -> None:
    sparse(tmp_path / "disk.raw", 1 << 20, (5000, b"data"))
    program = f"{sys.executable} -m imsprep check disk.raw"
    script = f"""
        mkfifo pipe; cat pipe > one & {program} --output json:pipe; wait
        {program} -v --format github --output json:/dev/stdout > two
        {program} --output json:/proc/self/fd/5 5> three
        {program} --output json:/dev/stdout --output junit:/dev/null > four
    """
    done = subprocess.run(["bash", "-ec", script], cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    one, two, three, four = ((tmp_path / n).read_text() for n in ("one", "two", "three", "four"))
    assert '"images"' in one
    assert one == three == four
    assert two.startswith(one), "what the command prints comes behind it"
    assert "::notice" in two
    assert (tmp_path / "pipe").is_fifo()
    assert Path("/dev/null").is_char_device()


@pytest.mark.parametrize(("format_", "times"), [("github", 0), ("sarif", 1), ("text", 1)])
def test_a_log_of_ci_says_once_that_an_image_is_missing(
    format_: str, times: int, imsprep: Run, tmp_path: Path
) -> None:
    done = imsprep("check", tmp_path / "missing.raw", "--format", format_)
    assert done.code == 3
    assert done.err.count("cannot read") == times
    assert ("cannot read" in done.out) is (format_ != "text")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("where", "times"), [("> all 2>&1", 1), ("> all 2> err; cat err >> all", 2)]
)
def test_what_cannot_be_read_is_said_once_at_a_place(
    where: str, times: int, tmp_path: Path
) -> None:
    sparse(tmp_path / "disk.raw", 1 << 20, (5000, b"data"))
    script = f"{sys.executable} -m imsprep check disk.raw missing.raw {where}"
    subprocess.run(["bash", "-c", script], cwd=tmp_path, check=False)
    assert (tmp_path / "all").read_text().count("cannot read missing.raw") == times


@pytest.mark.slow
@need("sgdisk")
@pytest.mark.parametrize(
    ("asked", "failing"),
    [
        ((), {}),
        (("--firmware", "uefi"), {"bios": "IMS210"}),
        (("--firmware", "bios"), {"uefi": "IMS210"}),
        (("--name", "a", "--os-version", "CentOS 7.6 64bit", "--min-disk", "40"), {"uefi": "IMS217"}),
    ],
)  # fmt: skip
def test_the_boot_mode_of_a_request_is_judged_for_each_image_of_a_folder(
    imsprep: Run, tmp_path: Path, asked: tuple[str, ...], failing: dict[str, str]
) -> None:
    linux = bytes([0x80, 0, 0, 0, 0x83, 0, 0, 0]) + struct.pack("<II", 2048, 1 << 16)
    sparse(tmp_path / "bios.raw", 64 * MIB, (0, b"\xeb\x63\x90"), (446, linux), (510, b"\x55\xaa"))
    make_uefi_disk(tmp_path / "uefi.raw")
    done = imsprep("check", tmp_path, "--select", "IMS21", "--strict", "--json", *asked)
    images = json.loads(done.out)["images"]
    assert {
        Path(image["image"]).stem: found["rule"]
        for image in images
        for found in image["findings"]
        if found["severity"] != "note"
    } == failing
    assert {Path(i["image"]).stem for i in images if i["outcome"] == "failed"} == {*failing}
    assert done.code == (1 if failing else 0)


def test_a_rule_is_explained_in_whatever_case(imsprep: Run) -> None:
    said = imsprep("check", "--explain", "ims204")
    assert (said.code, said.out) == (0, imsprep("check", "--explain", "IMS204").out)
    assert said.out.startswith("IMS204  ")


@pytest.mark.slow
def test_a_rule_is_explained_in_lines_that_fit(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "imsprep", "check", "--explain", "IMS816"]
    code, _, last = run_on_terminal(command, 60, dict(os.environ), tmp_path)
    assert code == 0
    at = next(n for n, row in enumerate(last) if row.startswith("Why:    "))
    assert last[at + 1].startswith("        ")
    # A terminal breaks a line that is too long in the middle of a word.
    words = " ".join(row.strip() for row in last)
    assert RULES["IMS816"].why in words
