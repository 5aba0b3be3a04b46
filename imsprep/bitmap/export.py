"""Export: scan a RAW image and write its map for another tool; `export_formats` has the formats."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from imsprep.bitmap import export_formats
from imsprep.bitmap.sidecar import check_apart
from imsprep.errors import UsageError, show_path
from imsprep.image.blockmap import BlockMap
from imsprep.image.file import RawImage, Sharing
from imsprep.image.formats import check_raw
from imsprep.options import ExportOptions
from imsprep.progress import SCAN
from imsprep.scan.scan import Coverage, how_known, scan_as_step
from imsprep.system.atomic import write_bytes
from imsprep.system.paths import optional_path
from imsprep.units import exact_size, format_size


@dataclass(frozen=True)
class Exported:
    """A map that was written for another tool."""

    path: Path
    format: str  # of export_formats.SUFFIXES
    found: BlockMap
    coverage: Coverage
    sharing: Sharing | None = None

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON; sizes in bytes."""
        return {
            "file": str(self.path),
            "format": self.format,
            "size": self.found.size,
            "block_size": self.found.block_size,
            "blocks": len(self.found),
            "allocated": self.found.allocated,
            "data_bytes": self.found.data_bytes,
            "coverage": self.coverage.as_dict(),
            "sharing": self.sharing.as_dict() if self.sharing else None,
        }

    def __str__(self) -> str:
        data, size = format_size(self.found.data_bytes), exact_size(self.found.size)
        known = how_known(self.coverage, self.sharing)
        return f"{show_path(self.path)}: {self.format}, {data} of {size}\n{known}"


def export(path: Path, options: ExportOptions) -> Exported:
    """Scan a RAW image and write its map for another tool; see `export_formats`.

    Raises UsageError if a file would be replaced without `force`, and as `make_bitmap` does.
    """
    with RawImage.open(path) as image:
        target = optional_path(options.output)
        if image.is_device and target is None:
            raise UsageError(
                f"{show_path(path)} is a device; name the file to write", remedies=("output",)
            )
        target = target or path.with_suffix(export_formats.SUFFIXES[options.format])
        check_apart(target, path)
        if target.exists() and not options.force:
            raise UsageError(
                f"{show_path(target)} exists; name another file, or allow it to be replaced",
                remedies=("output", "force"),
            )
        check_raw(image)
        scanned = scan_as_step(
            image, options, options.block_size or export_formats.BLOCK_SIZE, SCAN
        )
        found = scanned.block_map
        if options.format == export_formats.BMAP:
            text = export_formats.bmap(found, image.pread)
        else:
            text = export_formats.qemu_map(found)
        image.check_unchanged()
        write_bytes(target, text)
        return Exported(target, options.format, found, scanned.coverage, image.sharing)
