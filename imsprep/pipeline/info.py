"""Summary: what a person wants to know of an image of any format, without reading its data."""

from __future__ import annotations

import uuid
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from imsprep.checks.chain import Step, chain, screen
from imsprep.checks.gather_facts import CONNECTIONS, Look, gather
from imsprep.checks.registry import all_rules
from imsprep.cloud.sites import Site
from imsprep.errors import show_path
from imsprep.image import formats
from imsprep.image.archive.ova import OVA, OVF
from imsprep.ims.request import RequestFields
from imsprep.pipeline.ova.proposal import ExportedSummary, summarize_exported
from imsprep.units import GIB, ceil_div, exact_size, format_ratio
from imsprep.zvhd2 import records
from imsprep.zvhd2.examine import Container, examine
from imsprep.zvhd2.source import OpenImage


@dataclass(frozen=True)
class ContainerSummary:
    """What only a ZVHD2 has. Sizes in bytes."""

    original_size: int  # of the image that was packed
    block_size: int
    blocks: int
    stored_blocks: int
    data_bytes: int  # in stored blocks
    packed_bytes: int  # of their records
    compression: str
    creator: str
    made: str  # the header's time
    uuid: str

    @property
    def ratio(self) -> float | None:
        """Data to what it takes in the file."""
        return self.data_bytes / self.packed_bytes if self.packed_bytes else None


@dataclass(frozen=True)
class Summary:
    """One file. Sizes in bytes."""

    image: str
    format: str
    file_size: int
    stored_size: int  # of the file, holes left out
    virtual_size: int  # what the guest sees
    min_disk: int  # GiB, the smallest that the site takes for a system disk of Linux
    packed: ContainerSummary | None = None
    chain: tuple[Step, ...] | None = None  # None: the inside was not examined

    def as_dict(self) -> dict[str, object]:
        """Return plain values for JSON."""
        value = asdict(self)
        value["chain"] = self.chain and [step.as_dict() for step in self.chain]
        if self.chain is None:
            del value["chain"]
        if self.packed is not None:
            ratio = self.packed.ratio
            value["packed"]["ratio"] = round(ratio, 4) if ratio else None
        return value

    def __str__(self) -> str:
        """Write a screen of it."""
        lines = [
            ("image", self.image),
            ("format", self.format),
            ("virtual size", exact_size(self.virtual_size)),
            ("file size", exact_size(self.file_size)),
            ("stored here", exact_size(self.stored_size)),
        ]
        if (packed := self.packed) is not None:
            ratio = format_ratio(packed.ratio) if packed.ratio else "no data"
            lines += [
                ("packed from", exact_size(packed.original_size)),
                ("blocks", f"{packed.stored_blocks} of {packed.blocks} stored"),
                ("block size", exact_size(packed.block_size)),
                ("unpacked", f"{exact_size(packed.data_bytes)} in stored blocks"),
                ("compressed", f"{exact_size(packed.packed_bytes)}, {ratio}, {packed.compression}"),
                ("creator", packed.creator),
                ("made", packed.made),
                ("id", packed.uuid),
            ]
        lines.append(("min_disk", f"{self.min_disk} GB or more"))
        text = "\n".join(f"{name:13} {value}" for name, value in lines)
        if self.chain is None:
            return text
        drawn = screen(self.chain) or "  no Linux and no loader were found"
        return f"{text}\n\nboot chain\n{drawn}"


def summarize(
    path: Path, site: Site, *, guest: bool = False, firmware: str | None = None
) -> Summary | ExportedSummary:
    """Return what is known of an image: RAW, ZVHD2, or what QEMU reads; with `guest` how it boots.

    `firmware` is "bios", "uefi", or None for what the image is made for.
    Raises UsageError for what is not a disk image, FormatError for one that is damaged or not
    whole by itself, MissingExtraError without qemu-nbd where it takes that or without the readers
    of file systems, ReadError.
    """
    with OpenImage.open(path, jobs=CONNECTIONS) as image:
        file, named = image.file, image.format
        if named in (OVA, OVF) and not guest:
            return summarize_exported(file, site)
        stored = sum(stop - start for start, stop in file.data())
        packed, virtual = None, file.size
        if named == formats.ZVHD2:
            container = examine(file.pread, file.size).container_or_raise()
            packed, virtual = _packed(container), container.virtual_size
        elif named != formats.RAW:
            virtual = image.disk().size
        steps = _chain(image, site, firmware) if guest else None
        file.check_unchanged()
    sent = file.size if named in (formats.RAW, formats.ZVHD2) else 0  # of this file
    smallest = site.min_disk_from(data_disk=False, windows=False)
    return Summary(
        show_path(path.name),
        named,
        file.size,
        stored,
        virtual,
        max(smallest, ceil_div(max(virtual, sent), GIB)),
        packed,
        steps,
    )


def _chain(image: OpenImage, site: Site, firmware: str | None) -> tuple[Step, ...]:
    request = RequestFields(hw_firmware_type=firmware)
    facts = gather(image, request=request, site=site, look=Look(guest=True))
    return chain(facts, all_rules())


def _packed(container: Container) -> ContainerSummary:
    footer, block_map = container.footer, container.block_map
    major, minor = divmod(footer.creator_version, 1 << 16)
    made = datetime.fromtimestamp(footer.timestamp + records.EPOCH, UTC)
    app = show_path(footer.creator_app.rstrip(b"\0"))
    return ContainerSummary(
        original_size=container.original_size,
        block_size=container.block_size,
        blocks=len(block_map),
        stored_blocks=block_map.allocated,
        data_bytes=block_map.data_bytes,
        packed_bytes=container.stored_size,
        compression=records.METHODS[footer.compress_method],
        creator=f"{app} {major}.{minor}",
        made=made.isoformat(),
        uuid=str(uuid.UUID(bytes=footer.uuid)),
    )
