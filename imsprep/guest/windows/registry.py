r"""What the registry of a Windows says, as plain values: read with libregf straight from the image.

Where each value stands is documented by Microsoft: CurrentVersion for the product, Services for
drivers, `partmgr\Parameters` for the SAN policy, `Terminal Server` for remote desktop, Tcpip's
`Interfaces` for DHCP, Component Based Servicing for pending updates.
"""

from __future__ import annotations

import io
from typing import Any

from imsprep.guest.fs.interface import UnreadableError
from imsprep.guest.paths import HIVES
from imsprep.guest.tree import Tree

HIVE_LIMIT = 512 << 20  # bytes; SOFTWARE of a desktop that ran for years has some 150 MiB
_SERVICES = (
    "viostor", "vioscsi", "netkvm", "BALLOON", "VMTools", "VBoxGuest", "VBoxService",
    "vmicheartbeat", "xenvbd", "cloudbase-init", "TermService",
)  # fmt: skip
_INTERFACE_LIMIT = 64
_PENDING = (
    r"Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending",
    r"Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired",
)
_FAULTS = (OSError, MemoryError, ValueError, RuntimeError, OverflowError, UnicodeError, TypeError)


class _Key:
    """A key of a hive; what is not there is None, not an error."""

    def __init__(self, key: Any, file: object) -> None:
        # The file is kept because keys are read only as long as it lives.
        self._key, self._file = key, file

    def at(self, path: str) -> _Key | None:
        """Return the key at a path below this one."""
        found = self._key
        for name in path.split("\\"):
            found = found.get_sub_key_by_name(name)
            if found is None:
                return None
        return _Key(found, self._file)

    def text(self, name: str) -> str | None:
        """Return a text value."""
        value = self._key.get_value_by_name(name)
        return None if value is None else str(value.data_as_string or "")

    def number(self, name: str) -> int | None:
        """Return a DWORD value."""
        value = self._key.get_value_by_name(name)
        return None if value is None else int(value.data_as_integer)

    def has(self, name: str) -> bool:
        """Return whether there is such a value."""
        return self._key.get_value_by_name(name) is not None

    def children(self) -> list[_Key]:
        """Return the keys right below."""
        count = min(self._key.number_of_sub_keys, _INTERFACE_LIMIT)
        return [_Key(self._key.get_sub_key(number), self._file) for number in range(count)]


def take_registry(tree: Tree, unread: list[str]) -> dict[str, object]:
    """Read the hives; a hive that cannot be read is noted in `unread` and its values are absent."""
    values: dict[str, object] = {"hibernation": _hibernation(tree)}
    for name, take in (("SOFTWARE", _software), ("SYSTEM", _system)):
        try:
            values.update(take(_open(tree, HIVES[name])))
        except ImportError:
            unread.append(f"hive {name}: imsprep[guest] is not installed")
        except UnreadableError as error:
            unread.append(f"hive {name}: {error}")
        except _FAULTS as error:
            unread.append(f"hive {name} is broken: {str(error).split('. ', 1)[0]}")
    return values


def _open(tree: Tree, path: str) -> _Key:
    import pyregf

    data = tree.read(path, limit=HIVE_LIMIT)
    if not data:
        raise UnreadableError(f"there is no {path}")
    file = pyregf.file()
    file.open_file_object(io.BytesIO(data))
    root = file.get_root_key()
    if root is None:
        raise UnreadableError(f"{path} has no root key")
    return _Key(root, file)


def _software(root: _Key) -> dict[str, object]:
    version = root.at(r"Microsoft\Windows NT\CurrentVersion")
    pending = [path.rsplit("\\", 1)[-1] for path in _PENDING if root.at(path) is not None]
    values: dict[str, object] = {"pending": pending}
    if version is not None:
        for name in ("ProductName", "EditionID", "CurrentBuild", "CurrentBuildNumber"):
            values[name] = version.text(name)
    return values


def _system(root: _Key) -> dict[str, object]:
    select = root.at("Select")
    current = (select.number("Current") if select is not None else None) or 1
    control_set = root.at(f"ControlSet{current:03d}")
    if control_set is None:
        raise UnreadableError(f"SYSTEM has no ControlSet{current:03d}")
    values: dict[str, object] = {
        "services": _services(control_set),
        "interfaces": _interfaces(control_set),
    }
    for name, path, value in (
        ("san_policy", r"Services\partmgr\Parameters", "SanPolicy"),
        ("deny_rdp", r"Control\Terminal Server", "fDenyTSConnections"),
        ("hiberboot", r"Control\Session Manager\Power", "HiberbootEnabled"),
        ("clock_is_utc", r"Control\TimeZoneInformation", "RealTimeIsUniversal"),
    ):
        key = control_set.at(path)
        values[name] = key.number(value) if key is not None else None
    environment = control_set.at(r"Control\Session Manager\Environment")
    values["machine"] = environment.text("PROCESSOR_ARCHITECTURE") if environment else None
    manager = control_set.at(r"Control\Session Manager")
    values["renames"] = manager is not None and manager.has("PendingFileRenameOperations")
    return values


def _services(control_set: _Key) -> dict[str, object]:
    services = dict[str, object]()
    for name in _SERVICES:
        key = control_set.at(rf"Services\{name}")
        if key is not None:
            services[name] = {"start": key.number("Start"), "account": key.text("ObjectName"),
                              "image": key.text("ImagePath")}  # fmt: skip
    return services


def _interfaces(control_set: _Key) -> list[dict[str, object]]:
    key = control_set.at(r"Services\Tcpip\Parameters\Interfaces")
    return [
        {"dhcp": child.number("EnableDHCP")}
        for child in (key.children() if key is not None else [])
        if child.has("EnableDHCP")
    ]


def _hibernation(tree: Tree) -> str | None:
    """Return the first four letters of hiberfil.sys: hibr while Windows sleeps in it."""
    head = tree.read("/hiberfil.sys", limit=4)
    return head.decode("latin-1") if head else None
