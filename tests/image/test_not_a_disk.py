"""What people have called disk.img is named, with what helps; and no disk is taken for it."""

from __future__ import annotations

import io
import re
import shlex
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import click
import numpy as np
import pytest

from imsprep.cli import cli
from imsprep.image import folders, formats
from imsprep.image.formats import identify, primary
from imsprep.image.not_a_disk import KNOWN, SIGNATURES, Kind
from imsprep.image.tables import survey as ledger
from imsprep.image.tables import vdi, vhd
from imsprep.units import KIB, MIB
from tests.support.running import Outcome, need

Imsprep = Callable[..., Outcome]


def named(data: bytes) -> str:
    return primary(identify(data[: 128 * KIB], data[-64 * KIB :], len(data)))


def test_each_signature_has_its_words_and_its_advice() -> None:
    for signature in SIGNATURES:
        known = KNOWN[signature.format]
        assert known.name
        assert known.advice.format("in", "out")
        data = bytearray(np.random.default_rng(1).bytes(160 * KIB))
        at = signature.offset % len(data)
        data[at : at + len(signature.magic)] = signature.magic
        found = {
            m.format for m in identify(bytes(data[: 128 * KIB]), bytes(data[-65536:]), len(data))
        }
        assert signature.format in found


TEXTS = {
    "html": b"\xef\xbb\xbf\n<!DOCTYPE html><html><body>403 Forbidden</body></html>" + b" " * 70_000,
    "xml": b'<?xml version="1.0"?><Error><Code>AccessDenied</Code></Error>',
    "ovf": b'<?xml version="1.0"?>\n<ovf:Envelope xmlns:ovf="http://schemas.dmtf.org/ovf/envelope/1">',
    "json": b'{"message": "not found",\n "code": 404}\n',
    "git-lfs": b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n",
    "script": b"#!/bin/sh\necho installer\n",
    "text": b"the disk is in disk.img\n",
    "checksums": b"d41d8cd98f00b204e9800998ecf8427e  disk.img\nSHA256(a.ovf)= "
    + b"0f" * 32
    + b"\n",
    "vmx": b'.encoding = "UTF-8"\nconfig.version = "8"\nvirtualHW.version = "19"\n',
    "vbox": b'<?xml version="1.0"?>\n<VirtualBox xmlns="http://www.virtualbox.org/" version="1.16">\n',
    "libvirt-xml": b"<domain type='kvm'>\n<name>vm</name>\n</domain>\n",
    "parallels-xml": b"<?xml version='1.0'?>\n<Parallels_disk_image Version=\"1.0\">\n",
}


@pytest.mark.parametrize("name", TEXTS)
def test_a_text_is_called_what_it_is(name: str) -> None:
    assert named(TEXTS[name]) == name


def archive(*names: str) -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        for name in names:
            member = tarfile.TarInfo(name)
            member.size = 10
            tar.addfile(member, io.BytesIO(b"0123456789"))
    return out.getvalue()


@pytest.mark.parametrize(
    ("first", "format_"),
    [
        ("disk.raw", "tar"), ("web.ovf", "ova"), ("./ova.xml", "xva"), ("manifest.json", "docker"),
        ("blobs/sha256/00", "docker"), (f"{'0a' * 32}/layer.tar", "docker"), ("box.img", "tar"),
        (f"{'w' * 96}.ovf", "ova"),  # it fills the field
    ],
)  # fmt: skip
def test_a_tar_is_told_by_its_first_member(first: str, format_: str) -> None:
    assert named(archive(first)) == format_


@need("mksquashfs")
def test_a_squashfs_is_no_disk(imsprep: Imsprep, tmp_path: Path) -> None:
    (tmp_path / "tree").mkdir()
    (tmp_path / "tree" / "file").write_text("x")
    image = tmp_path / "disk.img"
    subprocess.run(["mksquashfs", tmp_path / "tree", image, "-quiet"], check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    outcome = imsprep("check", image)
    assert outcome.code == 1
    assert "SquashFS" in outcome.out
    outcome = imsprep("convert", image, tmp_path / "out.zvhd2")
    assert outcome.code == 1
    assert "unsquashfs" in outcome.err


def test_no_message_contradicts_itself_or_names_what_a_command_lacks(
    imsprep: Imsprep, tmp_path: Path
) -> None:
    image = tmp_path / "disk.img"
    for data in (TEXTS["html"], b"VMA\0\0\0\0\1".ljust(8192, b"\1"), b"%PDF-1.4\n".ljust(4096)):
        image.write_bytes(data)
        for words in (["convert", image, tmp_path / "out.raw"],):
            outcome = imsprep(*words)
            assert outcome.code == 1
            assert "--from-format" not in outcome.err  # it would make a disk of that
        report = imsprep("check", image, "--json").json["images"][0]["findings"]
        assert {f["rule"] for f in report} & {"IMS102", "IMS113"}
        assert "IMS105" not in {f["rule"] for f in report}


COMMANDS = [
    *(known.advice for known in KNOWN.values()),
    *formats.OTHER_TOOLS.values(),
    *(f"{what}: {advice}" for _, what, advice in folders.KNOWN),
    ledger.FLATTEN, ledger.DECRYPT, ledger.CLOSE, vhd.MERGE, vdi.CLONE,
]  # fmt: skip


@pytest.mark.parametrize("advice", COMMANDS)
def test_every_command_of_this_program_in_an_advice_is_one(advice: str) -> None:
    for found in re.findall(r"imsprep ([a-z-]+)((?: [^;,(]+)?)", advice):
        command = cli.get_command(click.Context(cli), found[0])
        assert command is not None, found
        words = shlex.split(found[1].replace("{0}", "a").replace("{1}", "b"))
        command.make_context(found[0], words, resilient_parsing=False)


@pytest.mark.slow
@need("qemu-img", "qemu-io")
def test_the_commands_of_qemu_in_an_advice_work(imsprep: Imsprep, tmp_path: Path) -> None:
    def shell(*lines: str) -> None:
        for line in lines:
            subprocess.run(line, shell=True, cwd=tmp_path, check=True, capture_output=True)

    def encrypted(line: str) -> None:
        # QEMU measures how fast the processor derives a key, and gives up where the kernel's clock
        # of a thread is too coarse for that.
        for _ in range(50):
            done = subprocess.run(
                line, shell=True, cwd=tmp_path, check=False, capture_output=True, text=True
            )
            if done.returncode == 0:
                return
            assert "Unable to get accurate CPU usage" in done.stderr
        raise AssertionError(done.stderr)

    secret = "--object secret,id=k,file=KEY"
    shell(
        "printf secret > KEY; truncate -s 3M base.raw; printf here | dd of=base.raw conv=notrunc",
        "qemu-img create -f qcow2 -b base.raw -F raw 'over lay.qcow2'",
        "qemu-img create -f qcow2 -o data_file=data.raw apart.qcow2 3M",
    )
    encrypted(
        f"qemu-img create {secret} -f qcow2 -o encrypt.format=luks,encrypt.key-secret=k,encrypt.iter-time=10 locked.qcow2 3M"
    )
    for name, made in (
        ("over lay.qcow2", "whole.qcow2"), ("locked.qcow2", "plain.qcow2"),
        ("apart.qcow2", "whole.qcow2"),
    ):  # fmt: skip
        outcome = imsprep("convert", tmp_path / name, tmp_path / "out.raw")
        assert outcome.code == 1
        command = re.search("qemu-img convert .*", outcome.err)
        assert command is not None
        shell(command[0].replace(str(tmp_path) + "/", ""), f"qemu-img check {made}")
        assert imsprep("convert", tmp_path / made, tmp_path / "out.raw", "--force").code == 0
        (tmp_path / made).unlink()
        (tmp_path / "out.raw").unlink()


@pytest.mark.parametrize("seed", range(20))
def test_random_bytes_are_raw(seed: int) -> None:
    assert named(np.random.default_rng(seed).bytes(MIB)) == "raw"


def test_every_kind_of_a_signature_is_no_disk_of_qemu() -> None:
    assert Kind.DISK not in {s.kind for s in SIGNATURES}
    assert shutil.which("tar")
