"""What an initramfs with a file system inside tells: dracut's SquashFS, made by its own tool."""

from __future__ import annotations

import builtins
import subprocess
from pathlib import Path
from typing import Any

import pytest

from imsprep.guest.chain.values import Initramfs
from imsprep.guest.linux.initramfs import Allowance
from imsprep.guest.linux.initramfs_actions import look
from tests.support.guest.disks import write_tree
from tests.support.guest.trees import VIRTIO, Link, cpio, drivers
from tests.support.running import need

VERSION = "6.1.0-18-amd64"
HOOK = r"var/lib/dracut/hooks/initqueue/finished/devexists-\x2fdev\x2fvda1.sh"


def squashfs(folder: Path, files: dict[str, Any], packer: str = "zstd") -> bytes:
    tree = write_tree(folder / "tree", files)
    image = folder / "squashfs-root.img"
    subprocess.run(["mksquashfs", tree, image, "-comp", packer, "-quiet", "-no-progress"],
                   check=True, stdout=subprocess.DEVNULL)  # fmt: skip
    return image.read_bytes()


def looked(inner: bytes, name: str = "squashfs-root.img", **more: Any) -> Initramfs:
    outer = {
        "init": b"#!/bin/sh\n",
        name: inner,
        f"usr/lib/modules/{VERSION}/kernel/squashfs.ko": b"",
    }
    return look("x", [cpio(outer)], more.get("allowance", Allowance()))


INSIDE: dict[str, Any] = {
    **{f"/{name}": data for name, data in drivers(VERSION).items()},
    "/etc/cmdline.d/95root.conf": "root=UUID=a rd.lvm.lv=vg/root\n",
    "/etc/initrd-release": "", f"/{HOOK}": "", "/lib": Link("usr/lib"),
    "/usr/lib/dracut/modules.txt": "squash\n",
}  # fmt: skip


@need("mksquashfs")
@pytest.mark.parametrize("packer", ["gzip", "xz", "zstd", "lz4"])
def test_the_files_inside_count_as_its_own(tmp_path: Path, packer: str) -> None:
    pytest.importorskip("dissect.squashfs")
    found = looked(squashfs(tmp_path, INSIDE, packer))
    assert found.unread is None
    assert set(found.drivers) == {*VIRTIO, "squashfs"}
    assert (found.versions, found.maker) == ((VERSION,), "dracut")
    assert found.arguments == ("root=UUID=a", "rd.lvm.lv=vg/root")
    assert found.waits == ("/dev/vda1",)


@need("mksquashfs")
def test_what_is_damaged_or_without_its_reader_is_unknown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dissect.squashfs")
    data = squashfs(tmp_path, INSIDE)
    assert "squashfs-root.img" in (looked(data[:200]).unread or "")
    few = Allowance(files_left=5)
    assert "more files than are looked at" in (looked(data, allowance=few).unread or "")
    real = builtins.__import__

    def without(name: str, *more: Any) -> Any:
        if name.startswith("dissect"):
            raise ImportError(name)
        return real(name, *more)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setattr("imsprep.guest.fs.dissect.importlib.import_module", without)
    assert "imsprep[guest-agpl]" in (looked(data).unread or "")


@pytest.mark.parametrize("name", ["erofs-root.img", "root.erofs", "squashfs-root.img"])
def test_another_file_system_inside_is_unknown(name: str) -> None:
    found = looked(b"\xe2\xe1\xf5\xe0" * 100, name)
    assert found.unread == f"the drivers may lie in {name} inside it, which is not read"
