"""IMS6xx, site: what is right elsewhere and not documented on the chosen site."""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, UnknownError, rule
from imsprep.checks.rules.file import no_disk, only_zeros, optical, unaligned
from imsprep.checks.rules.partition_table import (
    broken_chain,
    cut_short,
    large_sectors,
    no_valid_gpt,
    over_the_table,
    overlapping,
    past_the_end,
    primary_damaged,
)
from imsprep.checks.rules.volumes import larger_than_its_partition
from imsprep.cloud.os_names import named, near
from imsprep.cloud.sites import OPTIONAL_FIELDS, SITES
from imsprep.image import formats
from imsprep.report import Severity
from imsprep.units import GIB, exact_size


@rule(
    "IMS601", Severity.WARNING, "The site says that it no longer imports Windows images",
    why="The international pages say since 2024 that Windows images are no longer provided and"
    " that this API will not import them. Whether it refuses them is not said.",
    fix="Ask the site's support before the upload, or choose another site.",
    source='API reference, "Importing an Image File Quickly", international, 2026-01-19',
)  # fmt: skip
def windows_stopped(facts: Facts) -> Iterator[Evidence]:
    """Look for a Windows image on a site that stopped them."""
    if facts.site.windows_stopped and facts.request.is_windows:
        found = facts.request.os_version or "os_type Windows"
        yield Evidence(f"{found} on {facts.site.title}", found=found)


@rule(
    "IMS602", Severity.WARNING, "A field is given that the site does not document",
    why="The service may ignore it, so that the image is not what was asked for, or refuse it.",
    fix="Leave the field out on this site.",
    source="API references: Huawei Cloud 2024-08-09, OTC 2025-12-17, OTC Switzerland 2025-07-16;"
    " Huawei Cloud's SDK 3.1.219, Terraform provider 2026-08-21",
)  # fmt: skip
def undocumented_field(facts: Facts) -> Iterator[Evidence]:
    """Compare the optional fields with the site's table."""
    for name in OPTIONAL_FIELDS:
        if getattr(facts.request, name) is None or name in facts.site.fields:
            continue
        if facts.site.takes(name):
            yield Evidence(
                f"{name} is not on the page of {facts.site.key}; Huawei Cloud's SDK and Terraform"
                " provider have it in this request",
                found=name,
                title=f"A field is given that only the clients of {facts.site.key} document",
                fix="If the service refuses the request, leave the field out.",
                severity=Severity.NOTE,
            )
        else:
            elsewhere = ", ".join(site.key for site in SITES.values() if name in site.fields)
            yield Evidence(
                f"{name} is documented for {elsewhere}, not for {facts.site.key}",
                found=name,
                title=f"A field is given that the site {facts.site.key} does not document",
                fix=f"Leave the field out on {facts.site.key}, or name the site of the import.",
            )


@rule(
    "IMS603", Severity.WARNING, "The disk is smaller than the site's pages say it should be",
    why='The table "Image File Properties" gives a range for the system disk in the file. The API'
    " page has no such limit: the table may mean the disk that is made from it.",
    fix="Enlarge the disk (RAW: truncate -s; qcow2: qemu-img resize), and write a GPT's backup"
    " to its new end (sgdisk -e); or try it as it is.",
    source='User guides, "Image File Properties": Huawei Cloud 2022-12-07 (40 to 1024 GB), OTC'
    " 2025-12-17 (1 GB to 1 TB)",
)  # fmt: skip
def small_disk(facts: Facts) -> Iterator[Evidence]:
    """Compare the disk that an import makes, if it is a system disk, with the table's lower end."""
    if facts.virtual_size is None:
        raise UnknownError(f"the virtual size of a {facts.format} file is not read")
    if facts.unread:
        raise UnknownError("the disk in the file is not read")
    nothing = next((rule.id for rule in _NO_DISK if rule.run(facts)[0]), None)
    if nothing is not None:
        raise UnknownError(f"there is no disk in the file ({nothing})")
    smallest = facts.site.smallest_system_disk
    if facts.is_system_disk and 0 < (facts.packed_size or 0) < smallest * GIB:
        disk, advice = exact_size(facts.virtual_size), _enlarge(facts, smallest)
        if facts.to_be_packed and facts.source_size not in (None, facts.virtual_size):
            disk = f"{exact_size(facts.source_size)}; a ZVHD2 makes it a disk of {disk}"
        yield Evidence(
            f"the disk has {disk}",
            expected=f"{exact_size(smallest * GIB)} or more",
            found=exact_size(facts.virtual_size),
            fix=f"{advice[:1].upper()}{advice[1:]}; or try it as it is.",
            # Inferred limits and tiny disks are no reason for alarm: nothing was seen refused.
            severity=Severity.NOTE if smallest > 1 else None,
        )


@rule(
    "IMS604", Severity.WARNING, "os_version is listed only by another site",
    why="Each site has its own list; a value of another one is refused with IMG.0056.",
    fix="Use a value of this site's list, or choose the site that you mean.",
    source='"Values of Related Parameters": OTC 2025-12-17, Huawei Cloud 2022-12-07',
    said_by=("IMS708",),
    settled_by=("IMS708",),
)  # fmt: skip
def other_sites_os_version(facts: Facts) -> Iterator[Evidence]:
    """Look the value up in the lists of the other sites."""
    value = facts.request.os_version
    if value is None or facts.request.is_data_disk:
        return
    if value in facts.site.listed:
        return
    others = [site.key for site in SITES.values() if value in site.os_versions.all]
    if others:
        like = near(value, facts.site.listed)
        hint = f"; {facts.site.key} lists {named(like)}" if like else ""
        yield Evidence(
            f'"{value}" is in the list of {", ".join(others)}{hint}',
            expected=named(like, "or") if like else f"a value that {facts.site.key} lists",
            found=f'"{value}"',
        )


# A table that is damaged is found by its backup at the end of the disk, and sgdisk writes none over
# one that it does not read or finds wrong.
_MENDED_FIRST = (unaligned, no_valid_gpt, primary_damaged, overlapping, large_sectors, broken_chain,
                 over_the_table, larger_than_its_partition)  # fmt: skip
_NO_DISK = (only_zeros, optical, no_disk)


def _enlarge(facts: Facts, gib: int) -> str:
    """Write how a disk grows, after what other rules advise and in place of what would undo it."""
    if past_the_end.run(facts)[0]:
        return "copy the image again first: it is cut short, and a larger file has no more of it"
    first = next((rule.id for rule in _MENDED_FIRST if rule.run(facts)[0]), None)
    text = _larger(facts, gib)
    if first is not None:
        return f"first do as {first} advises; then {text}"
    return f"{text}, in place of what IMS204 advises" if cut_short.run(facts)[0] else text


def _larger(facts: Facts, gib: int) -> str:
    """Write how a disk of this format grows: QEMU resizes few formats, and sgdisk reads RAW alone.

    G is GiB for both: the manuals of truncate and qemu-img.
    """
    gpt = facts.disk is not None and facts.disk.table == "gpt"
    if facts.format == formats.RAW:
        return f"run truncate -s {gib}G IMAGE" + (", then sgdisk -e IMAGE" if gpt else "")
    backup = ", then sgdisk -e on the disk in the system, for the GPT's backup" if gpt else ""
    if facts.format == "qcow2":
        return f"run qemu-img resize IMAGE {gib}G{backup}"
    return f"enlarge the disk to {gib} GiB where it was made{backup}"
