"""Convert what QEMU reads: every format becomes the container of its RAW disk, and none leads astray."""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import psutil
import pytest

from imsprep.errors import ImageChangedError, ReadError
from imsprep.image.file import RawImage
from imsprep.image.qemu.foreign import description
from imsprep.image.qemu.nbd_disk import open_qemu_disk
from imsprep.units import GIB, KIB, MIB
from imsprep.zvhd2.convert import ConvertTask
from imsprep.zvhd2.writer import PackTask
from tests.support.running import Outcome, need
from tests.support.zvhd2.converting import convert

Imsprep = Callable[..., Outcome]
pytestmark = need("qemu-img", "qemu-nbd")

SIZE = 64 * MIB + 512 * KIB
TIME = ("--timestamp", "1700000000")
MADE = {  # a name, and how qemu-img makes it
    "qcow2": ["-O", "qcow2"],
    "qcow2, packed": ["-O", "qcow2", "-c"],
    "qcow2, version 2": ["-O", "qcow2", "-o", "compat=0.10"],
    "qcow2, clusters of 2 MiB": ["-O", "qcow2", "-c", "-o", "compression_type=zstd,cluster_size=2M"],
    "qcow2, preallocated": ["-O", "qcow2", "-o", "preallocation=metadata"],
    "qcow": ["-O", "qcow"],
    "qed": ["-O", "qed"],
    "vmdk": ["-O", "vmdk"],
    "vmdk, streamed": ["-O", "vmdk", "-o", "subformat=streamOptimized"],
    "vdi": ["-O", "vdi"],
    "vhdx": ["-O", "vhdx"],
    "vhd, fixed": ["-O", "vpc", "-o", "subformat=fixed,force_size=on"],
    "vhd, dynamic": ["-O", "vpc", "-o", "force_size=on"],
    "parallels": ["-O", "parallels"],
}  # fmt: skip


@pytest.fixture(scope="module")
def raw(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("raw") / "disk.raw"
    random = np.random.default_rng(3)
    with open(path, "wb") as file:
        file.truncate(SIZE)
        for offset, length in ((0, 4096), (7 * MIB, 3 * MIB), (40 * MIB, 5), (SIZE - 512, 512)):
            os.pwrite(file.fileno(), random.bytes(length), offset)
        os.pwrite(file.fileno(), bytes(MIB), 20 * MIB)
    return path


def qemu_img(*words: object) -> None:
    subprocess.run(["qemu-img", *map(str, words)], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.slow
@pytest.mark.parametrize("name", MADE)
def test_every_format_becomes_the_container_of_its_disk(
    name: str, raw: Path, imsprep: Imsprep, tmp_path: Path
) -> None:
    image = tmp_path / "image"
    qemu_img("convert", "-f", "raw", *MADE[name], raw, image)
    assert imsprep("info", image, "--json").code == 0
    qemu_img("convert", *(["-f", MADE[name][1]]), "-O", "raw", image, tmp_path / "same.raw")
    outcome = imsprep("convert", image, tmp_path / "a.zvhd2", *TIME, "--json", "--jobs", 3)
    assert outcome.code == 0, outcome.err
    assert outcome.json["source_format"] == name.split(",")[0] or "vhd" in name
    assert imsprep("convert", tmp_path / "same.raw", tmp_path / "b.zvhd2", *TIME).code == 0
    assert (tmp_path / "a.zvhd2").read_bytes() == (tmp_path / "b.zvhd2").read_bytes()
    assert imsprep("convert", image, tmp_path / "a.raw").code == 0
    assert (tmp_path / "a.raw").read_bytes() == (tmp_path / "same.raw").read_bytes()


@pytest.mark.parametrize(
    ("name", "file"),
    [
        ("qcow2", "my image"), ("qcow2", "-x:y"), ("vmdk", "my image"), ("vhd, fixed", "my image"),
        ("vhd, dynamic", "my image"), ("parallels", "my image"),
    ],
)  # fmt: skip
def test_what_a_check_advises_for_a_format_gives_an_image_that_is_accepted(
    name: str,
    file: str,
    raw: Path,
    imsprep: Imsprep,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    qemu_img("convert", "-f", "raw", *MADE[name], raw, f"./{file}")
    (found,) = [f for f in findings(imsprep, f"./{file}") if f["rule"] == "IMS114"]
    assert not {"fix", "expected", "region"} & set(found), "nothing is wrong"
    direct = re.search(r"as `(imsprep convert .*)` makes one alone", found["message"])
    assert direct is not None
    assert imsprep(*shlex.split(direct[1])[1:]).code == 0
    assert not {"IMS101", "IMS103", "IMS114"} & {f["rule"] for f in findings(imsprep, "disk.zvhd2")}


def findings(imsprep: Imsprep, image: str) -> list[dict[str, str]]:
    report: list[dict[str, str]] = imsprep("check", image, "--json").json["images"][0]["findings"]
    return report


def test_a_sparse_disk_of_a_tib_is_not_read(imsprep: Imsprep, tmp_path: Path) -> None:
    image = tmp_path / "large.qcow2"
    qemu_img("create", "-f", "qcow2", image, "1000G")
    qemu_io = ["qemu-io", "-f", "qcow2", "-c", "write -P 7 700G 1M", str(image)]
    subprocess.run(qemu_io, check=True, stdout=subprocess.DEVNULL)
    outcome = imsprep("convert", image, tmp_path / "large.zvhd2", "--json")
    assert outcome.code == 0, outcome.err
    assert outcome.json["disk_size"] == 1000 * GIB
    assert outcome.json["stored_blocks"] == 1


def test_only_its_own_file_is_opened(raw: Path, imsprep: Imsprep, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_bytes(b"password" * 1000)
    cases = {
        "backing file": ["create", "-f", "qcow2", "-F", "raw", "-b", secret, tmp_path / "b.img"],
        "another file": ["create", "-f", "qcow2", "-o", f"data_file={secret},data_file_raw=on",
                         tmp_path / "d.img", "64K"],
        "backing": ["create", "-f", "qed", "-F", "raw", "-b", secret, tmp_path / "q.img"],
        "its parent": ["create", "-f", "vmdk", "-F", "vmdk", "-b", tmp_path / "p.vmdk", tmp_path / "v.img"],
    }  # fmt: skip
    qemu_img("create", "-f", "vmdk", tmp_path / "p.vmdk", "1M")
    for said, words in cases.items():
        qemu_img(*words)
        image = next(w for w in words if str(w).endswith(".img"))
        outcome = imsprep("convert", image, tmp_path / "out.zvhd2")
        assert outcome.code == 1, outcome.err
        assert said in outcome.err
    flat = f'# Disk DescriptorFile\nversion=1\nCID=1\nparentCID=ffffffff\ncreateType="monolithicFlat"\nRW 16 FLAT "{secret}" 0\n'
    (tmp_path / "f.img").write_text(flat)
    outcome = imsprep("convert", tmp_path / "f.img", tmp_path / "out.zvhd2")
    assert outcome.code == 1
    assert "leads out of its folder" in outcome.err
    assert not (tmp_path / "out.zvhd2").exists()


def test_an_encrypted_image_is_refused(imsprep: Imsprep, tmp_path: Path) -> None:
    image = tmp_path / "e.qcow2"
    qemu_img("create", "-f", "qcow2", image, "1M")
    with open(image, "r+b") as file:
        os.pwrite(file.fileno(), b"\0\0\0\2", 32)  # crypt_method: LUKS
    outcome = imsprep("convert", image, tmp_path / "out.zvhd2")
    assert (outcome.code, "encrypted" in outcome.err) == (1, True)


def test_a_name_with_anything_in_it_is_only_a_name(
    raw: Path, imsprep: Imsprep, tmp_path: Path
) -> None:
    image = tmp_path / 'json:{"driver":"raw"},file.filename=a b"c.qcow2'
    qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, tmp_path / "plain")
    shutil.move(tmp_path / "plain", image)
    outcome = imsprep("convert", image, tmp_path / "out.zvhd2")
    assert outcome.code == 0, outcome.err


def test_a_changed_image_is_refused(raw: Path, imsprep: Imsprep, tmp_path: Path) -> None:
    image = tmp_path / "image.qcow2"
    qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, image)
    order = ConvertTask(PackTask(1, bytes(range(16))), progress=lambda count: os.utime(image))
    with pytest.raises(ImageChangedError):
        convert(image, tmp_path / "out.zvhd2", order)


def test_without_qemu_nbd_the_package_is_named(
    raw: Path, imsprep: Imsprep, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = tmp_path / "image.qcow2"
    qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, image)
    monkeypatch.setenv("PATH", str(tmp_path))
    outcome = imsprep("convert", image, tmp_path / "out.zvhd2")
    assert outcome.code == 2
    assert "apt install qemu-utils" in outcome.err
    assert sorted(p.name for p in tmp_path.iterdir()) == ["image.qcow2"]


def test_what_is_no_disk_is_refused_and_may_be_named(
    raw: Path, imsprep: Imsprep, tmp_path: Path
) -> None:
    iso = tmp_path / "cd.img"
    data = bytearray(MIB)
    data[0x8001:0x8006] = b"CD001"
    iso.write_bytes(data)
    outcome = imsprep("convert", iso, tmp_path / "cd.zvhd2")
    assert outcome.code == 1
    assert "--from-format raw" in outcome.err
    assert imsprep("convert", iso, tmp_path / "cd.zvhd2", "--from-format", "raw").code == 0
    data[:4] = b"QFI\xfb"
    data[-512:-504] = b"conectix"
    iso.write_bytes(data)
    outcome = imsprep("convert", iso, tmp_path / "two.zvhd2")
    assert outcome.code == 1
    assert "qcow2 or vhd-fixed" in outcome.err
    assert imsprep("convert", iso, tmp_path / "two.zvhd2", "--from-format", "tar").code == 2


@pytest.mark.slow
@pytest.mark.parametrize("name", ["INT", "KILL"])
def test_qemu_nbd_ends_whatever_ends_us(name: str, tmp_path: Path) -> None:
    raw, image = tmp_path / "disk.raw", tmp_path / "disk.qcow2"
    raw.write_bytes(np.random.default_rng(4).bytes(48 * MIB))
    qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, image)
    argv = [sys.executable, "-m", "imsprep", "convert", str(image), str(tmp_path / "d.zvhd2")]
    with subprocess.Popen([*argv, "--level", "19", "--jobs", "1"], stderr=subprocess.PIPE) as ours:
        while not [p for p in tmp_path.glob(".d.zvhd2.*.part") if p.stat().st_size > 4096]:
            assert ours.poll() is None
        (server,) = Path(f"/proc/{ours.pid}/task/{ours.pid}/children").read_text().split()
        ours.send_signal(getattr(signal, f"SIG{name}"))
        ours.wait()
    for _ in range(500):
        if not Path(f"/proc/{server}").exists() or "Z" in Path(f"/proc/{server}/stat").read_text():
            break
        time.sleep(0.01)
    else:
        pytest.fail("qemu-nbd still runs")
    assert not (tmp_path / "d.zvhd2").exists()


@pytest.mark.slow
def test_a_qemu_nbd_that_stands_still_is_given_up_and_ended(
    raw: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("imsprep.image.qemu.nbd_client.PATIENCE_S", 0.5)
    monkeypatch.setattr("imsprep.image.qemu.program.STOP_S", 0.5)
    image = tmp_path / "image.qcow2"
    qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, image)
    held = list[psutil.Process]()

    def hold(count: int) -> None:
        if not held:
            held.extend(p for p in psutil.Process().children() if p.name() == "qemu-nbd")
            held[0].suspend()

    with pytest.raises(ReadError, match=r"gave no answer for 0\.5 s"):
        convert(image, tmp_path / "out.zvhd2", ConvertTask(PackTask(1, jobs=1), progress=hold))
    assert not held[0].is_running()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["image.qcow2"]


def test_a_disk_is_read_by_one_set_of_threads_after_another_and_by_another_process(
    raw: Path, tmp_path: Path
) -> None:
    """qemu-nbd lets a connection wait that is one too many: none may be left of threads that ended."""
    image, jobs = tmp_path / "disk.qcow2", 2
    qemu_img("convert", "-f", "raw", "-O", "qcow2", raw, image)
    content = raw.read_bytes()
    with RawImage.open(image) as file, open_qemu_disk(file, "qcow2", jobs=jobs) as disk:

        def piece(offset: int) -> bytes:
            together.wait(10)
            buffer = bytearray(MIB)
            disk.pread_into(offset, memoryview(buffer))
            return bytes(buffer)

        offsets = [0, 7 * MIB, 8 * MIB]  # of a thread more than the disk was opened for
        for _ in range(3):
            together = threading.Barrier(len(offsets))
            with ThreadPoolExecutor(len(offsets)) as threads:
                answers = threads.map(piece, offsets, timeout=20)
                assert list(answers) == [content[offset : offset + MIB] for offset in offsets]
        other = [
            sys.executable,
            "-c",
            f"from imsprep.image.qemu.nbd_client import NbdClient; print(NbdClient.connect({str(disk.socket)!r}).size)",
        ]
        assert (
            int(subprocess.run(other, capture_output=True, check=True, timeout=20).stdout) == SIZE
        )
        assert [length for _, length, _ in disk.extents()]


def test_json_names_are_whole() -> None:
    said = json.loads(description({"driver": "file", "filename": "/a,b"}, "qcow2", {})[5:])
    assert said["backing"] is None
    assert said["file"]["filename"] == "/a,b"
