"""Run what the documentation shows: a shell in a folder where the examples' images lie.

An example is run by bash as it stands, with a few programs replaced:

- `imsprep` is this checkout's; a bucket `obs:NAME` becomes a folder, since no test has an account,
  a job is looked for there too, and an emulator in the foreground is ended when it serves;
- `make` only says what it would do, in this checkout;
- a plan's bucket becomes a folder as well, and the work of a cluster is done here;
- `pip` and `pipx` only look whether what they should install is declared;
- `java` makes a bitmap in a layout of its own.
"""

from __future__ import annotations

import functools
import json
import os
import re
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from tests.support.guest.disks import BOOT_PROGRAM, write_tree
from tests.support.guest.trees import UUID, debian
from tests.support.image import ova
from tests.support.paths import ROOT
from tests.support.zvhd2.goldens import golden

MIB = 1 << 20
JOB = "8a12fc664fb4daa3014fb4e581380005"  # the job of the examples
IMAGES = ("disk.raw", "images/one.raw", "build/disk.raw")

_OS_RELEASE = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nVERSION_ID="12"\nID=debian\n'

_IMSPREP = f"""\
#!{sys.executable}
import os, re, stat, subprocess, sys
words = [re.sub(r"^obs:/*([a-z0-9-]+).*", r"local:./cloud?bucket=\\1", w) for w in sys.argv[1:]]
if "--scheduler" in words:
    at = words.index("--scheduler")
    del words[at : at + 2]
if words[:1] == ["wait"] and not {{"--to", "--endpoint"}} & set(words):
    words += ["--to", "local:./cloud"]
if words[:1] == ["boot"]:  # takes minutes, and no disk of these pages holds a system; see tests/trial
    words.append("--help")
words = [w for w in words if (words[0], w) != ("doctor", "--online")]  # there is no way out here
command = [sys.executable, "-m", "imsprep", *words]
if words[:2] == ["bitmap", "learn"]:  # 1 asks for a second pair, which these pages go on to make
    sys.exit(subprocess.run(command).returncode not in (0, 1))
if words[:1] == ["emulator"] and not {{"-h", "--help"}} & set(words):
    command = [w for w in command if w not in ("--port", "8080")]
    if stat.S_ISFIFO(os.fstat(1).st_mode):
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as run:
            print(run.stdout.readline(), end="")
            run.terminate()
            sys.exit(run.wait() != 143)
os.execv(sys.executable, command)
"""
_MAKE = f'#!/bin/sh\nexec /usr/bin/make --no-print-directory -n -C "{ROOT}" "$@"\n'
_PIP = f"""\
#!{sys.executable}
import re, sys, tomllib
extras = tomllib.load(open("{ROOT}/pyproject.toml", "rb"))["project"]["optional-dependencies"]
assert sys.argv[1] == "install", sys.argv
for word in sys.argv[2:]:
    word = word.partition(" @ git+")[0]
    name, asked = re.fullmatch(r"(imsprep|\\.)(?:\\[([a-z,-]+)\\])?", word).groups()
    assert set((asked or "all").split(",")) <= set(extras), word
"""


# Said only where something takes long, or by chance of a question's moment.
_PROGRESS = r"^(scan|verify|upload): .*\n|^job [0-9a-f]{32}: .*\n"
# Some tool that makes bitmaps, in place of the vendor's.
_JAVA = f"""\
#!{sys.executable}
import pathlib, sys
sys.path.insert(0, "{ROOT}")
from tests.support.bitmap.vendors import little_header_8m
assert sys.argv[1:3] == ["-jar", "CreateMF.jar"], sys.argv
pathlib.Path(sys.argv[4]).write_bytes(little_header_8m(pathlib.Path(sys.argv[3])))
"""


class Block(NamedTuple):
    """A fenced block of a document: where it begins, its language, its lines."""

    page: Path
    line: int
    language: str
    text: str

    def __str__(self) -> str:
        return f"{self.page.name}:{self.line}"


def blocks(page: Path) -> Iterator[Block]:
    """Yield the fenced blocks of a page; a list's indentation is taken off."""
    lines = page.read_text().splitlines()
    start, indent = None, ""
    for number, line in enumerate(lines):
        fence = re.match(r"(\s*)```(\S*)", line)
        if fence is None:
            continue
        if start is None:
            start, indent, language = number, fence[1], fence[2]
        else:
            inside = [inner.removeprefix(indent) for inner in lines[start + 1 : number]]
            yield Block(page, start + 1, language, "\n".join(inside) + "\n")
            start = None


def steps(session: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a session, with their line ends, and what each is shown to print."""
    for part in re.split(r"^\$ ", session, flags=re.MULTILINE)[1:]:
        found = re.fullmatch(r"((?:[^\n]*\\\n)*[^\n]*\n)(.*)", part, re.DOTALL)
        assert found is not None, part
        yield found[1], found[2]


def write_disk(path: Path) -> None:
    """Write a disk of 64 MiB with a boot program, and a well-prepared Debian 12 in its partition."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        for block, data in _disk().items():
            file.seek(block * MIB)
            file.write(data)
        file.truncate(64 * MIB)


@functools.cache
def _disk() -> dict[int, bytes]:
    """Return the blocks of 1 MiB of that disk that are not zeros."""
    start, length = 1 * MIB, 62 * MIB
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "disk.raw")
        with path.open("wb") as file:
            file.truncate(64 * MIB)
            file.write(BOOT_PROGRAM.ljust(446, b"\0"))
            file.write(struct.pack("<B3xB3xII", 0x80, 0x83, start // 512, length // 512))
            file.seek(510)
            file.write(b"\x55\xaa")
        tree = write_tree(Path(folder, "tree"), {**debian(), "/etc/os-release": _OS_RELEASE})
        subprocess.run(
            ["mkfs.ext4", "-q", "-F", "-U", UUID, "-E", f"offset={start}", "-d", tree, path,
             f"{length // 1024}k"], check=True, capture_output=True,
        )  # fmt: skip
        data = path.read_bytes()
    blocks = {n: data[n * MIB : (n + 1) * MIB] for n in range(64)}
    return {n: block for n, block in blocks.items() if any(block)}


class DocumentShell:
    """A folder for one document's commands: disks, a finished job, and the replaced programs."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder / "work"
        for name in IMAGES:
            write_disk(self.folder / name)
        programs = folder / "bin"
        programs.mkdir()
        for name, text in {
            "imsprep": _IMSPREP,
            "make": _MAKE,
            "pip": _PIP,
            "pipx": _PIP,
            "java": _JAVA,
        }.items():
            (programs / name).write_text(text)
            (programs / name).chmod(0o755)
        self._environment = {
            **os.environ,
            "PATH": f"{programs}:{os.environ['PATH']}",
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "IMSPREP_REPOSITORY": ROOT.as_uri(),
            "HUAWEICLOUD_SDK_AK": "AKTEST",
            "HUAWEICLOUD_SDK_SK": "SKTEST",
        }
        self._add_job()
        self._add_plan()

    def run(self, commands: str) -> subprocess.CompletedProcess[str]:
        """Run lines of shell, which have to end well one by one."""
        if (
            "convert" in commands or "qcow2" in commands
        ):  # which replaces nothing, and reads what QEMU writes
            (self.folder / "disk.zvhd2").unlink(missing_ok=True)
            names = (self.folder / name for name in ("disk.raw", "disk.qcow2"))
            qemu = ["qemu-img", "convert", "-f", "raw", "-O", "qcow2", *names]
            if "qcow2" in commands:
                subprocess.run(qemu, check=True)
        else:
            (self.folder / "disk.zvhd2").write_bytes(golden("scattered"))
        if "vm.ova" in commands:
            ova.archive(self.folder / "vm.ova", ova.members(self.folder))
        script = "trap 'kill $(jobs -p) 2>/dev/null || :' EXIT\n" + commands
        return subprocess.run(
            ["bash", "-euo", "pipefail", "-c", script], cwd=self.folder, env=self._environment,
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=300,
        )  # fmt: skip

    def run_together(self, commands: str) -> str:
        """Run lines of shell and return what they print in any case, as it comes."""
        done = self.run(f"{{ {commands} }} 2>&1")
        assert done.returncode == 0, done.stdout
        return re.sub(_PROGRESS, "", done.stdout, flags=re.MULTILINE)

    def _add_job(self) -> None:
        """Put the job that examples wait for into the emulator's records."""
        jobs = self.folder / "cloud" / ".emulator" / "jobs"
        jobs.mkdir(parents=True)
        job = {"job_id": JOB, "body": {"name": "web01", "min_disk": 40}, "status": "SUCCESS",
               "progress": 1.0, "image_id": "7ca2b5f7-5e59-4b9c-8a43-5b5f4b1d5a50"}  # fmt: skip
        (jobs / f"{JOB}.json").write_text(json.dumps(job))

    def _add_plan(self) -> None:
        """Write the example of a plan, with its bucket as a folder, and the disks that it names."""
        text = (ROOT / "docs" / "examples" / "plan.yaml").read_text()
        here = re.sub(r"\bobs:.*", "local:./cloud\n  poll: 0.2", text)
        (self.folder / "plan.yaml").write_text(here)
        for name in re.findall(r"image: (images/\S+)", text):
            (self.folder / name).hardlink_to(self.folder / "disk.raw")
