"""CRC-32C against the values of its standard."""

from __future__ import annotations

from collections.abc import Callable

from imsprep.image.crc32c import crc32c
from tests.support.running import Outcome

Run = Callable[..., Outcome]


def test_the_crc_is_that_of_the_standard() -> None:
    assert crc32c(bytes(32)) == 0x8A9136AA  # RFC 3720, B.4
    assert crc32c(b"\xff" * 32) == 0x62A8AB43
