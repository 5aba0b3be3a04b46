"""The serial console of a boot."""

from __future__ import annotations

import pytest

from tests.support.guest.rules import check_guest
from tests.support.guest.trees import debian, linux_guest


@pytest.mark.parametrize(
    ("console", "seen"), [("ttyS0,115200", True), ("ttyAMA0", True), ("tty0", False)]
)
def test_a_boot_that_no_one_sees_is_noted(console: str, seen: bool) -> None:
    files = debian()
    text = files["/boot/grub/grub.cfg"]
    assert isinstance(text, str)
    files["/boot/grub/grub.cfg"] = text.replace("console=ttyS0,115200", f"console={console}")
    found, _ = check_guest(linux_guest(files))
    assert ("IMS817" not in {f.rule for f in found}) is seen
