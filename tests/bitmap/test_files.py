"""Making a bitmap: what was written is read back before anything gets its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from imsprep.bitmap import codec
from imsprep.bitmap.files import make_bitmap
from imsprep.bitmap.layout import BitmapLayout
from imsprep.errors import FormatError
from imsprep.image.blockmap import BlockMap

MIB = 1 << 20


@pytest.mark.parametrize("bit", [0, 2, 3])
def test_a_bitmap_that_does_not_read_back_is_not_written(
    bit: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = tmp_path / "disk.raw"
    disk.write_bytes(b"x" + bytes(5 * MIB - 1) + b"y" + bytes(2 * MIB - 1))
    real = codec.encode

    def wrong(block_map: BlockMap, layout: BitmapLayout) -> bytes:
        data = bytearray(real(block_map, layout))
        data[0] ^= 1 << bit
        return bytes(data)

    with monkeypatch.context() as patch:
        patch.setattr(codec, "encode", wrong)
        patch.setattr(codec, "decode", _plain)
        with pytest.raises(FormatError, match="does not read back"):
            make_bitmap(disk)
    assert [path.name for path in tmp_path.iterdir()] == ["disk.raw"]
    assert make_bitmap(disk).bitmap.read_bytes() == b"\x05"


def _plain(data: bytes, size: int, layout: BitmapLayout) -> BlockMap:
    from bitarray import bitarray

    bits = bitarray(endian="little")
    bits.frombytes(data)
    return BlockMap(size, layout.block_size, bits[: -(-size // layout.block_size)])
