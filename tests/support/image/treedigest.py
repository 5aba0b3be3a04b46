"""The digest of a disk as docs/digest.md has it, in as few lines as it takes, and nothing shared."""

from __future__ import annotations

from hashlib import sha256


def tree_digest(disk: bytes, size: int = 0) -> str:
    """Hash every leaf and every node, zeros or not; `size` says of how much that is the start."""
    size = (max(size, len(disk)) + 511) // 512 * 512
    leaves = max(1, -(-size // 65536))
    levels = 2
    while 16**levels < leaves:
        levels += 1
    row = [
        sha256(disk[65536 * n : 65536 * (n + 1)].ljust(65536, b"\0")).digest()
        for n in range(leaves)
    ]
    zeros = sha256(bytes(65536)).digest()
    for _ in range(levels):
        row += [zeros] * (-len(row) % 16)
        row = [sha256(b"".join(row[n : n + 16])).digest() for n in range(0, len(row), 16)]
        zeros = sha256(zeros * 16).digest()
    assert len(row) == 1
    return "tree1:" + sha256(b"imsprep tree1\0" + size.to_bytes(8, "little") + row[0]).hexdigest()
