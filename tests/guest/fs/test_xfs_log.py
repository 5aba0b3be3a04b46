"""The XFS log: rings made by hand at every position, and real ones, judged as xfs_logprint does."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from imsprep.guest.fs.xfs_log import is_clean
from tests.support.running import need

BLOCK, LOG_START, LOG_BLOCKS = 4096, 16, 64  # in blocks of the file system
RING = LOG_BLOCKS * BLOCK // 512
RECORD = 5  # basic blocks: a header and four of data


def filesystem(ring: bytes) -> bytes:
    superblock = bytearray(512)
    superblock[:8] = struct.pack(">4sI", b"XFSB", BLOCK)
    superblock[48:56] = struct.pack(">Q", LOG_START)
    superblock[84:88] = struct.pack(">I", 1000)  # blocks of an allocation group
    superblock[96:100] = struct.pack(">I", LOG_BLOCKS)
    superblock[124] = 10
    return bytes(superblock).ljust(LOG_START * BLOCK, b"\0") + ring


def ring(records: int, *, last_flags: int) -> bytes:
    """A log into which so many records were written; the last one holds one operation."""
    blocks = [bytes(512)] * RING
    at, cycle = 0, 1
    for number in range(records):
        last = number == records - 1
        for step in range(RECORD):
            block = bytearray(b"\x5a" * 512)
            block[:4] = struct.pack(">I", cycle)
            if step == 0:
                block[:44] = struct.pack(
                    ">4I2Q3I", 0xFEEDBABE, cycle, 2, 2048, cycle << 32 | at, 0, 0, 0,
                    1 if last else 7,
                )  # fmt: skip
                block[320:324] = struct.pack(">I", 32768)
            if step == 1:
                block[9] = last_flags if last else 0x20
            blocks[at] = bytes(block)
            at += 1
            if at == RING:
                at, cycle = 0, cycle + 1
    return b"".join(blocks)


def judge(data: bytes) -> bool | None:
    def read(offset: int, length: int) -> bytes:
        assert offset >= 0 <= length, "no file has such a place"
        return data[offset : offset + length]

    return is_clean(read)


@given(st.integers(1, 3 * RING // RECORD), st.booleans())
def test_the_last_record_decides_wherever_the_ring_stands(records: int, unmounted: bool) -> None:
    data = filesystem(ring(records, last_flags=0x20 if unmounted else 0))
    assert judge(data) is unmounted


def test_a_zeroed_log_is_clean_and_one_elsewhere_is_not_known() -> None:
    assert judge(filesystem(bytes(RING * 512))) is True
    external = bytearray(filesystem(bytes(RING * 512)))
    external[48:56] = bytes(8)
    assert judge(bytes(external)) is None


def test_a_log_without_a_record_is_not_known() -> None:
    assert judge(filesystem(b"\x01" * (RING * 512))) is None


@given(st.binary(max_size=200), st.integers(0, 200))
@example(bytes(4), 4)  # blocks of no size
def test_any_superblock_is_judged_or_not_known(garbage: bytes, at: int) -> None:
    data = filesystem(ring(9, last_flags=0x20))
    judge(data[:at] + garbage + data[at + len(garbage) :])
    judge(data[:at])


@pytest.mark.slow
@need("mkfs.xfs", "xfs_io", "xfs_logprint")
@pytest.mark.skipif(os.geteuid() != 0, reason="mounting needs root")
@pytest.mark.parametrize("options", [(), ("-l", "su=256k"), ("-s", "size=4096")])
def test_real_logs_are_judged_as_xfs_logprint_does(
    tmp_path: Path, options: tuple[str, ...]
) -> None:
    image, folder = tmp_path / "fs.img", tmp_path / "mnt"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(320 << 20)
    run("mkfs.xfs", "-q", *options, image)
    states = {"made": shutil.copy(image, tmp_path / "made.img")}
    mount(image, folder)
    for number in range(300):
        (folder / str(number)).mkdir()
    os.sync()
    states["running"] = shutil.copy(image, tmp_path / "running.img")
    run("umount", folder)
    states["unmounted"] = shutil.copy(image, tmp_path / "unmounted.img")
    mount(image, folder)
    (folder / "last").touch()
    run("xfs_io", "-x", "-c", "shutdown -f", folder)
    run("umount", folder)
    states["crashed"] = image
    verdicts = {name: verdict(Path(path)) for name, path in states.items()}
    assert verdicts == {"made": True, "running": False, "unmounted": True, "crashed": False}


def verdict(image: Path) -> bool | None:
    with image.open("rb") as file:
        ours = is_clean(lambda offset, length: os.pread(file.fileno(), length, offset))
    said = run("xfs_logprint", "-t", image)
    assert ("<CLEAN>" in said) is ours
    return ours


def mount(image: Path, folder: Path) -> None:
    done = subprocess.run(["mount", "-o", "loop", image, folder], capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"cannot mount XFS here: {done.stderr.strip()}")


def run(*command: object) -> str:
    words = [str(word) for word in command]
    return subprocess.run(words, check=True, capture_output=True, text=True).stdout
