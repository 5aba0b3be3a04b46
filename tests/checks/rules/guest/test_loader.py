"""The boot loader: what GRUB reads."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest

from imsprep.report import Severity
from tests.support.guest_rules import check_guest
from tests.support.guest_trees import (
    ROOT,
    debian,
    linux_guest,
)

GRUB = "/boot/grub/grub.cfg"
MODULE = "/boot/grub/i386-pc/ext2.mod"
NORMAL = {"/boot/grub/i386-pc/normal.mod": b"\x002.06-13\0"}
OLD, NEW = 0x103D6, 0x163D6  # what the ext2.c of GRUB 2.06 reads, and that of 2.12


def reads(mask: int) -> dict[str, Any]:
    return {MODULE: b"\xa9" + (~mask & 0xFFFFFFFF).to_bytes(4, "little")}


@pytest.mark.parametrize(("more", "features", "severity", "said"), [
    (reads(OLD), ("64bit", "metadata_csum_seed"), Severity.ERROR, "metadata_csum_seed, which the ext4"),
    (reads(NEW), ("64bit", "metadata_csum_seed", "large_dir"), None, ""),
    (reads(NEW), ("inline_data",), Severity.ERROR, "does not read inline_data"),
    ({}, ("metadata_csum_seed",), Severity.WARNING, "GRUB 2.06-13 does not know"),
    ({}, ("64bit",), None, ""),
])  # fmt: skip
def test_what_grubs_module_refuses_is_an_error_and_its_version_a_warning(
    more: dict[str, Any], features: tuple[str, ...], severity: Severity | None, said: str
) -> None:
    volume = dataclasses.replace(ROOT, features=features)
    findings, skipped = check_guest(linux_guest({**debian(), **NORMAL, **more}, volumes=(volume,)))
    found = [(f.severity, f.message) for f in findings if f.rule == "IMS840"]
    assert [s for s, _ in found] == ([severity] if severity is not None else [])
    assert all(said in message for _, message in found)
    assert "IMS840" not in {s.rule for s in skipped}
