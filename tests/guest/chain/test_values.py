"""The boot chain as values: what goes through JSON, and what is refused there."""

from __future__ import annotations

import pytest

from imsprep.guest.chain.values import Initramfs, read_value
from imsprep.guest.model import Guest
from tests.support.guest.trees import debian, linux_guest


def test_a_boot_chain_goes_through_json_unchanged() -> None:
    guest = linux_guest(debian())
    assert Guest.from_dict(guest.as_dict()) == guest
    with pytest.raises(KeyError):
        read_value(Initramfs, {"path": "x", "more": 1})
