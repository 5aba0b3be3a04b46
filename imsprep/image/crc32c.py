"""CRC-32C, the checksum of ext4, XFS, btrfs and VHDX (RFC 3720, 12.1)."""

from __future__ import annotations

from functools import cache

_CASTAGNOLI = 0x82F63B78  # the polynomial, bits reversed
_ALL_ONES = 0xFFFFFFFF


def crc32c(data: bytes) -> int:
    """Return the CRC of RFC 3720; ext4 stores its complement."""
    table, crc = _table(), _ALL_ONES
    for byte in data:
        crc = table[(crc ^ byte) & 0xFF] ^ crc >> 8
    return crc ^ _ALL_ONES


@cache
def _table() -> list[int]:
    table = []
    for crc in range(256):
        for _ in range(8):
            crc = crc >> 1 ^ (_CASTAGNOLI if crc & 1 else 0)
        table.append(crc)
    return table
