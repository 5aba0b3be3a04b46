"""Every command that takes an image, on every file that is none: the right exit code, one clear sentence."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from imsprep.units import MIB, TIB
from tests.support.running import Outcome, need, slow

Run = Callable[..., Outcome]
IMSPREP = [sys.executable, "-m", "imsprep"]
REQUEST = ("--name", "web01", "--type", "DataImage", "--min-disk", "40", "--to", "local:cloud")
COMMANDS = {
    "check": ("check", "IMAGE"),
    "bitmap": ("bitmap", "IMAGE"),
    "bench": ("bench", "IMAGE"),
    "import": ("import", "IMAGE", *REQUEST),
    "dry run": ("import", "IMAGE", *REQUEST, "--dry-run"),
}
# Root reads every file; without these two capabilities it is as anybody else.
ORDINARY = ["setpriv", "--bounding-set=-dac_override,-dac_read_search"]


class Bad(NamedTuple):
    """A file that is no image, and what is said of it."""

    make: Callable[[Path], object]
    code: int
    words: str | dict[str, str]
    wrong_usage: str = ""  # the command to which it is that, whose code is 2


def make_qcow2(path: Path) -> None:
    subprocess.run(["qemu-img", "create", "-q", "-f", "qcow2", path, "1G"], check=True)


def make_sparse(path: Path, size: int) -> Path:
    with path.open("wb") as file:
        file.truncate(size)
        file.write(b"x")
    return path


def make_unreadable(path: Path) -> None:
    make_sparse(path, MIB).chmod(0)


BAD = {
    "qcow2": Bad(make_qcow2, 1, {"bitmap": "disk.raw is qcow2", "bench": "disk.raw is qcow2", "": "are zero"},
                 "bench"),
    "empty": Bad(lambda path: path.touch(), 1, "disk.raw is empty"),
    "directory": Bad(Path.mkdir, 3, "disk.raw: it is a folder"),
    "missing": Bad(lambda path: None, 3, "disk.raw: No such file"),
    "unreadable": Bad(make_unreadable, 3, "disk.raw: Permission denied; check its permissions"),
    "too large": Bad(lambda path: make_sparse(path, TIB + 512), 1,
                     {"bitmap": "quick import takes at most 1 TiB", "bench": "quick import takes at most 1 TiB",
                      "check": "512 bytes above the limit", "": "512 bytes above the limit"}),
}  # fmt: skip


@pytest.mark.slow
@need("qemu-img", "setpriv")
@pytest.mark.parametrize("command", ["check", "bitmap", slow("bench"), "import", slow("dry run")])
@pytest.mark.parametrize("kind", BAD)
def test_what_is_no_image_ends_with_its_code_and_a_sentence(
    tmp_path: Path, command: str, kind: str
) -> None:
    bad = BAD[kind]
    bad.make(tmp_path / "disk.raw")
    arguments = [word.replace("IMAGE", "disk.raw") for word in COMMANDS[command]]
    ordinary = ORDINARY if os.geteuid() == 0 else []
    done = subprocess.run(
        [*ordinary, *IMSPREP, *arguments], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    code = 2 if command == bad.wrong_usage else bad.code
    assert done.returncode == code, done.stderr
    words = (
        bad.words if isinstance(bad.words, str) else bad.words.get(command, bad.words.get("", ""))
    )
    found = [line for line in (done.stdout + done.stderr).splitlines() if words in line]
    assert len(found) == 1, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    if bad.code == 3:
        assert done.stderr == f"{found[0]}\n"
    left = {path.name for path in tmp_path.iterdir()}
    assert left <= {"disk.raw"}, "nothing is written for what is no image"


@pytest.mark.parametrize(
    "words",
    [
        "check NAME", "info NAME", "bitmap NAME", "bitmap disk.raw -o NAME", "verify NAME",
        "verify disk.raw --bitmap NAME", "bitmap --format bmap NAME", "convert NAME a.zvhd2",
        "convert disk.raw NAME", "upload NAME --to local:cloud", "batch NAME", "bench NAME",
        "check disk.raw --config NAME", "bitmap probe NAME", "bitmap learn disk.raw NAME",
        f"import NAME {' '.join(REQUEST)}", f"import disk.raw {' '.join(REQUEST)} --bitmap NAME",
    ],
)  # fmt: skip
@pytest.mark.parametrize("name", ["", ".", "/"])
def test_a_folder_or_nothing_for_a_file_ends_with_a_sentence(
    imsprep: Run, tmp_path: Path, words: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_sparse(tmp_path / "disk.raw", MIB)
    done = imsprep(*(name if word == "NAME" else word for word in words.split()))
    assert "internal error" not in done.err
    if not name:
        assert (done.code, done.out) == (2, "")
        assert "the name is empty; is a variable unset?" in done.err
    elif words != "check NAME":  # which takes a folder
        assert done.code in (1, 2, 3)
        assert re.search("^imsprep: ", done.err, re.MULTILINE)
    assert [path.name for path in tmp_path.iterdir()] == ["disk.raw"]


@pytest.mark.parametrize("option", ["--timeout", "--poll", "--retry-for"])
def test_a_limit_that_no_clock_passes_is_no_limit(
    imsprep: Run, tmp_path: Path, option: str
) -> None:
    image = make_sparse(tmp_path / "disk.raw", MIB)
    done = imsprep("import", image, *REQUEST, "--dry-run", option, "nan")
    assert (done.code, "'nan' is not a number of seconds" in done.err) == (2, True)


# What a shell does to a command's streams, and the code if the command would end with 0, 2 and 3.
STREAMS = {
    "stdout is full": (">/dev/full", (3, 2, 3)),
    "stderr is full": ("2>/dev/full", (0, 2, 3)),
    "both are full": (">/dev/full 2>&1", (3, 2, 3)),
    "stdout is closed": (">&-", (3, 3, 3)),
    "stderr is closed": ("2>&-", (0, 2, 3)),
    "stdin is closed": ("<&-", (0, 2, 3)),
    "all are closed": ("<&- >&- 2>&-", (3, 3, 3)),
    "the reader has gone": ("| true", (3, 2, 3)),
}


@pytest.mark.slow
@pytest.mark.parametrize("how", STREAMS)
def test_a_stream_that_takes_nothing_changes_no_other_code(tmp_path: Path, how: str) -> None:
    make_sparse(tmp_path / "disk.raw", MIB)
    streams, codes = STREAMS[how]
    for command, code in zip(("disk.raw", "disk.raw --none", "none.raw"), codes, strict=True):
        for options in ("check --json", "bench --runs=1"):
            # `true` has ended before imsprep, which takes longer to start, writes.
            line = f"{shlex.join(IMSPREP)} {options} {command} {streams}"
            shell = ["bash", "-c", f"set -o pipefail; {line}"]
            done = subprocess.run(shell, cwd=tmp_path, capture_output=True, text=True, timeout=60)
            assert done.returncode == code, (line, done)
            assert "Traceback" not in done.stderr + done.stdout
            assert "internal error" not in done.stderr
            assert "Exception ignored" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_a_name_that_the_terminal_has_no_letters_for_is_told_all_the_same(
    tmp_path: Path, encoding: str
) -> None:
    make_sparse(tmp_path / "z\xfcri\u010d.raw", MIB)
    environment = {**os.environ, "PYTHONIOENCODING": encoding}
    for words in ("bitmap", "check", "info", "check --format=junit", "check --format=html"):
        command = [*IMSPREP, *words.split(), "z\xfcri\u010d.raw"]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, env=environment)
        assert (done.returncode, done.stderr) == (0, b""), words
        shown = {"z\xfcri\u010d".encode()}  # click writes UTF-8 to what calls itself ASCII
        if "=" not in words:
            shown.add("z\xfcri\u010d".encode(encoding, "backslashreplace"))
        assert any(name in done.stdout for name in shown), words


def bytes_read() -> int:
    """How much this process has read by system calls, files of Python among it."""
    with open("/proc/self/io", encoding="ascii") as counters:
        return int(dict(line.split(": ") for line in counters)["rchar"])


@pytest.mark.skipif(not os.path.exists("/proc/self/io"), reason="the kernel counts no reading here")
def test_a_tib_of_holes_is_scanned_without_being_read(imsprep: Run, tmp_path: Path) -> None:
    written = tmp_path / "written.raw"
    written.write_bytes(bytes(64 * MIB) + b"x" * 512)
    before = bytes_read()
    assert imsprep("bitmap", written, "--jobs", "1").code == 0
    assert bytes_read() - before > 64 * MIB, "what is read is counted"
    sparse = make_sparse(tmp_path / "sparse.raw", TIB)
    before = bytes_read()
    done = imsprep("bitmap", sparse, "--jobs", "1", "--holes", "trust", "--json")
    assert bytes_read() - before < 16 * MIB
    assert done.code == 0, done.err
    assert (done.json["blocks"], done.json["allocated"]) == (TIB // (2 * MIB), 1)


@pytest.mark.parametrize(
    ("arguments", "kind", "code"),
    [
        (("import", ".", "--json"), "UsageError", 2),
        (("digest", "none.raw", "--json"), "ReadError", 3),
    ],
)
def test_an_error_names_the_schema_of_errors(
    imsprep: Run, arguments: tuple[str, ...], kind: str, code: int
) -> None:
    said = imsprep(*arguments).json
    assert said["schema"] == "imsprep.error/1"
    assert (said["error"]["kind"], said["error"]["exit_code"]) == (kind, code)
