"""OVF: the descriptor of an exported virtual machine: its disks, system, firmware and size.

Only what an import needs is read. The XML comes from anywhere: a document type or an entity, which
no OVF needs, is refused, so that nothing grows and nothing outside is read. Source: DMTF DSP0243,
Open Virtualization Format 1.1 and 2.1, and 0.9 as far as oVirt still writes it; `vmw:` as VMware's
ovftool writes it, `vbox:` as VirtualBox.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from typing import NamedTuple
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from imsprep.errors import FormatError, show_path
from imsprep.units import GIB, KIB, MIB, TIB

LIMIT = 4 * MIB  # bytes of a descriptor
_MOST_ELEMENTS = 100_000
_DISK_ITEMS, _CPU, _MEMORY, _NIC = ("17",), "3", "4", "10"  # resource types of CIM
_UNITS = {"": 1, "byte": 1, "kilobytes": KIB, "megabytes": MIB, "gigabytes": GIB, "terabytes": TIB}


class OvfDisk(NamedTuple):
    """A disk of the machine. Sizes in bytes."""

    id: str
    file: str | None  # the name of its file; None: an empty disk
    file_size: int | None  # as the descriptor has it
    capacity: int
    format: str  # an address that names the format
    compression: str  # of the whole file, such as gzip
    needs_parent: bool


class Machine(NamedTuple):
    """What a descriptor says of a virtual machine."""

    name: str
    system: str  # what runs in it, in the descriptor's words
    system_id: str  # the same as a token, such as debian11_64Guest
    firmware: str  # "bios" or "uefi"
    cpus: int | None
    memory: int | None  # bytes
    disks: tuple[OvfDisk, ...]  # the system disk first


def parse(data: bytes) -> Machine:
    """Read a descriptor; raises FormatError for one that is no OVF of one machine, or hostile."""
    root = _tree(data)
    if _local(root.tag) != "Envelope":
        raise FormatError("it is XML, and not an OVF descriptor (no Envelope)")
    systems = [*_all(root, "VirtualSystem"), *_typed(root, "Content", "VirtualSystem")]
    if len(systems) != 1:
        raise FormatError(
            f"it describes {len(systems)} virtual machines, and only one is imported at a time"
        )
    system = systems[0]
    typed = _typed(system, "Section", "OperatingSystemSection")
    kind = next(itertools.chain(_all(system, "OperatingSystemSection"), typed), None)
    said = _text(kind, "Description") if kind is not None else ""
    items = [dict(_values(item)) for item in _all(system, "Item", "StorageItem")]
    return Machine(
        name=_text(system, "Name") or _get(system, "id"),
        system=said,
        system_id=_get(kind, "osType") if kind is not None else "",
        firmware="uefi" if _is_uefi(system) else "bios",
        cpus=_number(items, _CPU),
        memory=_memory(items),
        disks=tuple(_in_order(list(_disks(root)), items)),
    )


def _tree(data: bytes) -> Element:
    """Parse XML without document types, entities, or more elements than a descriptor has."""
    if len(data) > LIMIT:
        raise FormatError(f"its descriptor has {len(data)} bytes, more than {LIMIT}")
    builder, count = TreeBuilder(), 0
    parser = expat.ParserCreate(namespace_separator="}")

    def refuse(*_: object) -> None:
        raise FormatError("its descriptor has a document type or an entity, which no OVF needs")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal count
        count += 1
        if count > _MOST_ELEMENTS:
            raise FormatError(f"its descriptor has more than {_MOST_ELEMENTS} elements")
        builder.start(name, attributes)

    parser.StartDoctypeDeclHandler = refuse
    parser.EntityDeclHandler = refuse
    parser.StartElementHandler = start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
        return builder.close()
    except (expat.ExpatError, AssertionError, ValueError) as error:
        raise FormatError(f"its descriptor is not XML: {error}") from error


def _disks(root: Element) -> Iterator[OvfDisk]:
    files = {_get(file, "id"): file for file in _all(root, "File")}
    for disk in _all(root, "Disk"):
        file = files.get(_get(disk, "fileRef"))
        if _get(disk, "fileRef") and file is None:
            raise FormatError(
                f"its disk {show_path(_get(disk, 'diskId'))} is in a file that it does not list"
            )
        size = _get(file, "size") if file is not None else ""
        yield OvfDisk(
            id=_get(disk, "diskId"),
            file=_get(file, "href") if file is not None else None,
            file_size=int(size) if size.isascii() and size.isdigit() else None,
            capacity=_capacity(disk),
            format=_get(disk, "format"),
            compression=_get(file, "compression") if file is not None else "",
            needs_parent=bool(_get(disk, "parentRef")),
        )


def _capacity(disk: Element) -> int:
    text, unit = _get(disk, "capacity"), _get(disk, "capacityAllocationUnits").lower().strip()
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise FormatError(f"the capacity of its disk is {show_path(text)!r}, not a number")
    power = re.fullmatch(r"byte\s*\*\s*2\s*\^\s*(\d{1,2})", unit)
    factor = 1 << int(power[1]) if power else _UNITS.get(unit)
    if factor is None:
        raise FormatError(f"the capacity of its disk is in {show_path(unit)!r}, which is not known")
    return int(text) * factor


def _in_order(disks: list[OvfDisk], items: list[dict[str, str]]) -> list[OvfDisk]:
    """Return the disks in the order in which the machine has them: by controller and place."""
    controllers = {i.get("InstanceID", ""): i for i in items}
    order = list[tuple[tuple[int, int, int, int], str]]()
    for number, item in enumerate(items):
        if item.get("ResourceType") in _DISK_ITEMS:
            parent = controllers.get(item.get("Parent", ""), {})
            # VMware boots from SCSI before SATA and IDE only if configured so; the file's order
            # decides.
            place = (_int(parent.get("Address")), _int(item.get("AddressOnParent")), number)
            order.append(((0, *place), item.get("HostResource", "").rpartition("/")[2]))
    named = [disk for _, name in sorted(order) for disk in disks if disk.id == name]
    return [*dict.fromkeys(named), *(disk for disk in disks if disk not in named)]


def _is_uefi(system: Element) -> bool:
    for element in system.iter():
        key, value = _get(element, "key").lower(), _get(element, "value").lower()
        if key == "firmware" and value == "efi":
            return True
        if _local(element.tag) == "Firmware" and _get(element, "type").lower().startswith("efi"):
            return True
    return False


def _number(items: list[dict[str, str]], kind: str) -> int | None:
    found = next((i.get("VirtualQuantity", "") for i in items if i.get("ResourceType") == kind), "")
    return int(found) if found.isascii() and found.isdigit() and len(found) < 16 else None


def _memory(items: list[dict[str, str]]) -> int | None:
    item = next((i for i in items if i.get("ResourceType") == _MEMORY), {})
    amount = _number(items, _MEMORY)
    unit = item.get("AllocationUnits", "").lower().strip()
    power = re.fullmatch(r"byte\s*\*\s*2\s*\^\s*(\d{1,2})", unit)
    factor = 1 << int(power[1]) if power else _UNITS.get(unit)
    return amount * factor if amount is not None and factor else None


def _int(text: str | None) -> int:
    return int(text) if text and text.isascii() and text.isdigit() and len(text) < 10 else 0


def _values(item: Element) -> Iterator[tuple[str, str]]:
    for child in item:
        yield _local(child.tag), (child.text or "").strip()


def _all(root: Element, *names: str) -> Iterator[Element]:
    return (element for element in root.iter() if _local(element.tag) in names)


def _typed(root: Element, name: str, kind: str) -> Iterator[Element]:
    """Yield elements as OVF 0.9 and oVirt write them: of one name, with the kind as their type."""
    for element in _all(root, name):
        if _get(element, "type").rpartition(":")[2] == f"{kind}_Type":
            yield element


def _text(root: Element, name: str) -> str:
    found = next((child for child in root if _local(child.tag) == name), None)
    return (found.text or "").strip() if found is not None else ""


def _get(element: Element, name: str) -> str:
    """Return an attribute, whatever its name space."""
    return next((value for key, value in element.attrib.items() if _local(key) == name), "")


def _local(name: str) -> str:
    return name.rpartition("}")[2]
