"""The kernel of the entry that starts: what cannot be one, and what may be."""

from __future__ import annotations

import struct

import pytest

from tests.support.guest.rules import check_guest
from tests.support.guest.trees import debian, linux_guest

KERNEL = "/boot/vmlinuz-4.19.0-27-amd64"


def bzimage(size: int) -> bytes:
    """The head of a kernel of x86 whose setup has 2 sectors, and which has 1024 bytes more."""
    head = bytearray(size)
    head[0x1F1] = 2
    struct.pack_into("<I", head, 0x1F4, 1024 // 16)
    head[0x1FE:0x206] = b"\x55\xaa\xeb\x66HdrS"
    return bytes(head)


@pytest.mark.parametrize(("protocol", "flags", "machine"), [
    (0x20F, 0x3F, "x86_64"), (0x20C, 0x06, "i386"), (0x20B, 0x00, None),
])  # fmt: skip
def test_a_kernel_of_x86_tells_its_width(protocol: int, flags: int, machine: str | None) -> None:
    head = bytearray(bzimage(2560))
    struct.pack_into("<H", head, 0x206, protocol)
    struct.pack_into("<H", head, 0x236, flags)
    entry = linux_guest({**debian(), KERNEL: bytes(head)}).boot.routes[0].entry
    assert entry is not None
    assert entry.machine == machine
    findings, _ = check_guest(linux_guest({**debian(), KERNEL: bytes(head)}))
    assert [f.rule for f in findings] == ["IMS851"] * (machine == "i386")


def said(kernel: bytes) -> list[str]:
    findings, _ = check_guest(linux_guest({**debian(), KERNEL: kernel}))
    return [f.message for f in findings if f.rule == "IMS807"]


@pytest.mark.parametrize(("kernel", "why"), [
    (b"", "is not a Linux kernel"), (bytes(9999), "is not a Linux kernel"),
    (b"not a kernel\n", "is not a Linux kernel"), (bzimage(2000), "is cut: 2000 bytes of 2560"),
])  # fmt: skip
def test_what_cannot_be_a_kernel_is_found(kernel: bytes, why: str) -> None:
    assert [message for message in said(kernel) if f"{KERNEL}, which {why}" in message]


@pytest.mark.parametrize("kernel", [
    bzimage(2560), bzimage(4096), b"MZ", b"\x1f\x8b\x08",
])  # fmt: skip
def test_what_may_be_a_kernel_is_not(kernel: bytes) -> None:
    assert said(kernel) == []
