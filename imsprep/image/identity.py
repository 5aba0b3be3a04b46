"""Identity: what tells one state of an image from another, in this run and in a later one.

It is that of its file: device, inode, size, modification and change time. What outlives a run notes
that of all files in which the disk lies, see `pieces`.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from imsprep.image.pieces import pieces_of

_INODE = 6  # bytes of a digest in place of an inode: any reader of JSON holds that exactly


@dataclass(frozen=True)
class Identity:
    """What tells one state of a file from another."""

    device: int
    inode: int
    size: int  # bytes
    mtime_ns: int
    ctime_ns: int

    @classmethod
    def of(cls, file: int | str | os.PathLike[str]) -> Identity:
        """Return the identity of an open file descriptor or a path; raises OSError."""
        now = os.stat(file)
        return cls(now.st_dev, now.st_ino, now.st_size, now.st_mtime_ns, now.st_ctime_ns)

    @classmethod
    def of_image(cls, path: Path) -> Identity:
        """Return the identity of an image: of all files in which its disk lies; raises OSError."""
        return cls.of(path).with_pieces(pieces_of(path))

    def with_pieces(self, paths: Sequence[Path]) -> Identity:
        """Return the identity of this file and of more; a change of any of them changes it.

        The size is that of all, the modification time the last one, and a digest of all stands for
        the inode. What is not there changes it when it comes.
        """
        pieces = list[Identity]()
        for path in paths:
            with contextlib.suppress(OSError):  # reading it says why not
                pieces.append(Identity.of(path))
        if not pieces:
            return self
        states = json.dumps([self.inode, *(piece.lasting for piece in pieces)])
        return replace(
            self,
            inode=int.from_bytes(hashlib.sha256(states.encode()).digest()[:_INODE]),
            size=self.size + sum(piece.size for piece in pieces),
            mtime_ns=max(self.mtime_ns, *(piece.mtime_ns for piece in pieces)),
        )

    @property
    def lasting(self) -> tuple[int, int, int, int]:
        """What stays the same from run to run: all but the device.

        Network and stacked file systems get another device number with every mount, and on every
        machine; the change time, which no program can set, is what tells two files apart.
        """
        return (self.inode, self.size, self.mtime_ns, self.ctime_ns)

    def same_content_as(self, other: Identity) -> bool:
        """Return whether this is the same file in the same state, seen in another run."""
        return self.lasting == other.lasting

    def renamed_from(self, other: Identity) -> bool:
        """Return whether it is the same content under what may be another name.

        Renaming a file changes its change time, and nothing else.
        """
        mine, theirs = self.lasting[:3], other.lasting[:3]
        return mine == theirs

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        return asdict(self)
