"""What the configuration of a kernel says of the compression of its initramfs."""

from __future__ import annotations

import bz2
import gzip
import lzma
import struct
from collections.abc import Callable

import pytest

from imsprep.guest.chain.devices import Devices
from imsprep.guest.chain.kernel_config import find_config, methods, refused
from imsprep.guest.chain.values import BootEntry
from imsprep.guest.linux.initramfs import Allowance
from imsprep.guest.model import Volume
from imsprep.guest.tree import Tree
from tests.support.guest.trees import MemoryFileSystem

# As Debian's /boot/config-6.1.0-*-amd64 has it, but for zstd.
CONFIG = """\
CONFIG_BLK_DEV_INITRD=y
CONFIG_INITRAMFS_SOURCE=""
CONFIG_RD_GZIP=y
CONFIG_RD_BZIP2=y
CONFIG_RD_LZMA=y
CONFIG_RD_XZ=y
# CONFIG_RD_LZO is not set
CONFIG_RD_LZ4=y
# CONFIG_RD_ZSTD is not set
"""
ENTRY = BootEntry("p:/x", 1, "x", "partition 1:/boot/vmlinuz-6.1", version="6.1")


def bzimage(payload: bytes) -> bytes:
    """A kernel of x86 by its boot protocol 2.15: one sector of setup, then the payload."""
    head = bytearray(1024)
    head[0x1F1] = 1
    head[0x202:0x206] = b"HdrS"
    struct.pack_into("<H", head, 0x206, 0x20F)
    struct.pack_into("<II", head, 0x248, 0x10, len(payload))
    return bytes(head) + bytes(0x10) + payload + b"behind"


def with_config(text: str = CONFIG) -> bytes:
    """What a kernel unpacks of itself, with its configuration somewhere inside."""
    return b"code" * 999 + b"IKCFG_ST" + gzip.compress(text.encode()) + b"IKCFG_ED" + b"data" * 999


def lacking(packed: tuple[str, ...], **files: str | bytes) -> tuple[str, ...] | None:
    paths = {f"/{name.replace('__', '/')}": data for name, data in files.items()}
    tree = {"/boot/vmlinuz-6.1": b"MZ", **paths}
    volume = Volume("partition 1", 1, 1, "ext4")
    devices = Devices((volume,), {"partition 1": [Tree({"/": MemoryFileSystem(tree)})]})
    return refused(devices, ENTRY, packed, Allowance())


def test_a_configuration_tells_what_a_kernel_unpacks() -> None:
    assert methods(CONFIG) == ("gzip", "bzip2", "lzma", "xz", "lz4")
    assert methods("CONFIG_RD_GZIP=y\n") is None, "of a text that is cut nothing is known"
    assert methods(CONFIG.replace("CONFIG_BLK", "# CONFIG_BLK")) is None


@pytest.mark.parametrize("path", ["boot__config-6.1", "lib__modules__6.1__config"])
def test_a_file_next_to_the_kernel_or_its_modules_counts(path: str) -> None:
    assert lacking(("zstd",), **{path: CONFIG}) == ("zstd",)
    assert lacking(("gzip", "lz4"), **{path: CONFIG}) == ()
    assert lacking(("lzo",), **{path: CONFIG}) == ("lzo",)
    assert lacking(("zstd",), **{path.replace("6.1", "6.2"): CONFIG}) is None
    assert lacking((), **{path: CONFIG}) == ()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, bytes])
def test_the_configuration_inside_a_kernel_counts(pack: Callable[[bytes], bytes]) -> None:
    kernel = bzimage(pack(with_config()))
    assert lacking(("zstd",), **{"boot__vmlinuz-6.1": kernel}) == ("zstd",)
    whole = with_config(CONFIG.replace("# CONFIG_RD_ZSTD is not set", "CONFIG_RD_ZSTD=y"))
    assert lacking(("zstd",), **{"boot__vmlinuz-6.1": bzimage(pack(whole))}) == ()
    assert lacking(("zstd",), **{"boot__vmlinuz-6.1": bzimage(pack(b"code" * 999))}) is None
    for size in (1000, 1100, len(bzimage(pack(b"code" * 999))) + 40):
        assert lacking(("zstd",), **{"boot__vmlinuz-6.1": kernel[:size]}) is None


def test_a_kernel_of_another_machine_is_unpacked_as_it_is() -> None:
    for kernel in (with_config(), gzip.compress(with_config())):
        assert lacking(("zstd",), **{"boot__vmlinuz-6.1": kernel}) == ("zstd",)


def test_for_gzip_alone_no_kernel_is_unpacked() -> None:
    assert lacking(("gzip",), **{"boot__vmlinuz-6.1": bzimage(with_config())}) is None


@pytest.mark.parametrize("step", [1, 7, 100, 1 << 20])
def test_the_mark_is_found_wherever_the_pieces_are_cut(step: int) -> None:
    data = with_config()
    pieces = (data[at : at + step] for at in range(0, len(data), step))
    assert find_config(pieces) == CONFIG
    assert find_config(iter([b"IKCFG_S", b"X"])) == ""
    assert find_config(iter([data[: data.index(b"IKCFG_ED") - 4]])) == "", "a part tells nothing"
