"""IMS901–IMS913: a Windows guest: drivers, Cloudbase-Init, and how it was shut down."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from imsprep.checks.facts import Facts
from imsprep.checks.rule import INFERRED, Evidence, UnknownError, rule
from imsprep.checks.subject.guest import FILE_TABLE, WINDOWS_GUIDE, windows
from imsprep.guest.linux.ini import read_ini
from imsprep.guest.model import Guest
from imsprep.guest.windows.release import parse_windows, windows_release
from imsprep.report import Severity
from imsprep.units import counted

_CONF = "/Program Files/Cloudbase Solutions/Cloudbase-Init/conf/cloudbase-init.conf"
_CLOUDBASE = "cloudbase-init"
_AUTOMATIC, _DISABLED, _BOOT = 2, 4, 0  # Start of a service: at start, never, by the boot loader
_ONLINE_ALL = 1  # SanPolicy: every disk is brought online
_DRIVERS_FIX = (
    "Install virtio-win-gt-x64.msi with all drivers, see that Windows starts on virtio, and shut it"
    " down."
)


def _values(guest: Guest, name: str, hive: str) -> Any:
    """Return a value of the registry; UnknownError if its hive could not be read."""
    if name not in guest.registry:
        raise UnknownError("; ".join(guest.unread) or f"the hive {hive} was not read")
    return guest.registry[name]


@rule(
    "IMS901",
    Severity.WARNING,
    "Quick import of Windows has ended on some sites",
    why="Huawei Cloud's international site no longer takes Windows images by quick import.",
    fix="Ask the provider before you upload; elsewhere use the ordinary import of the console.",
    source="API reference, “Importing an Image File Quickly”, 2024-08-09",
)
def windows_ended(facts: Facts) -> Iterator[Evidence]:
    """Warn about an image of Windows on a site that no longer imports it."""
    guest = windows(facts)
    name = guest.registry.get("ProductName") or "Windows"
    if facts.site.windows_stopped:
        yield Evidence(f"the image holds {name}, which {facts.site.title} no longer imports")


@rule(
    "IMS902",
    Severity.ERROR,
    "The requested os_version is another Windows",
    why="The service sets up the server, and the licence, for the system that is named.",
    fix="Request the os_version that fits the image.",
    source="API reference, “Values of Related Parameters”, 2025-12-17",
)
def requested_windows(facts: Facts) -> Iterator[Evidence]:
    """Compare os_version with ProductName."""
    guest = windows(facts)
    if facts.request.os_version is None:
        raise UnknownError("the request names no os_version")
    actual = windows_release(dict(guest.registry))
    if actual is None:
        raise UnknownError("; ".join(guest.unread) or "the registry names no product")
    release, name = actual
    asked = parse_windows(facts.request.os_version)
    if asked is None and facts.request.os_version.lower().startswith("other"):
        return
    if asked is None or asked.release != release.release:
        severity = None
    elif asked.edition not in (None, release.edition):
        severity = Severity.WARNING
    else:
        return
    yield Evidence(
        f"os_version is {facts.request.os_version!r}, the image holds {name!r}",
        expected=name,
        found=facts.request.os_version,
        severity=severity,
    )


def _driver(guest: Guest, service: str, file: str) -> str | None:
    """Return what is wrong with a driver, or None."""
    services = _values(guest, "services", "SYSTEM")
    if not guest.exists(f"/Windows/System32/drivers/{file}"):
        return f"{file} is not in /Windows/System32/drivers"
    if service not in services:
        return f"{file} is there, but the registry has no service {service}"
    start = services[service]["start"]
    return f"the service {service} is disabled" if start == _DISABLED else None


@rule(
    "IMS903",
    Severity.ERROR,
    "Windows has no virtio driver for its disk",
    why="Quick import injects no driver: Windows stops with INACCESSIBLE_BOOT_DEVICE.",
    fix=_DRIVERS_FIX,
    source=WINDOWS_GUIDE,
)
def disk_driver(facts: Facts) -> Iterator[Evidence]:
    """Ask for viostor (virtio_blk), started by the boot loader."""
    guest = windows(facts)
    problem = _driver(guest, "viostor", "viostor.sys")
    if problem is not None:
        yield Evidence(problem)
    elif _values(guest, "services", "SYSTEM")["viostor"]["start"] != _BOOT:
        start = guest.registry["services"]["viostor"]["start"]
        yield Evidence("the service viostor does not start with the boot loader",
                       expected="Start = 0", found=f"Start = {start}")  # fmt: skip


@rule(
    "IMS904",
    Severity.WARNING,
    "Windows has no virtio driver for SCSI disks",
    why="A server whose disks are of the SCSI type does not see them.",
    fix=_DRIVERS_FIX,
    source=WINDOWS_GUIDE,
)
def scsi_driver(facts: Facts) -> Iterator[Evidence]:
    """Ask for vioscsi."""
    problem = _driver(windows(facts), "vioscsi", "vioscsi.sys")
    if problem is not None:
        yield Evidence(problem)


@rule(
    "IMS905",
    Severity.ERROR,
    "Windows has no virtio driver for its network",
    why="Without NetKVM the server has no network card at all.",
    fix=_DRIVERS_FIX,
    source=WINDOWS_GUIDE,
)
def network_driver(facts: Facts) -> Iterator[Evidence]:
    """Ask for netkvm."""
    problem = _driver(windows(facts), "netkvm", "netkvm.sys")
    if problem is not None:
        yield Evidence(problem)


@rule(
    "IMS906",
    Severity.WARNING,
    "Cloudbase-Init is not installed or will not run",
    why="Without it a server gets neither its password nor its name from the service.",
    fix="Install Cloudbase-Init as a user, not LocalSystem; do not tick Sysprep or shutdown.",
    source=WINDOWS_GUIDE,
)
def cloudbase_init(facts: Facts) -> Iterator[Evidence]:
    """Read the service cloudbase-init."""
    service = _values(windows(facts), "services", "SYSTEM").get(_CLOUDBASE)
    if service is None:
        yield Evidence("the registry has no service cloudbase-init")
        return
    if service["start"] != _AUTOMATIC:
        yield Evidence("the service cloudbase-init does not start by itself",
                       expected="Start = 2", found=f"Start = {service['start']}")  # fmt: skip
    if (service["account"] or "").lower() == "localsystem":
        yield Evidence(
            "the service cloudbase-init runs as LocalSystem", expected="a user of its own"
        )


@rule(
    "IMS907",
    Severity.NOTE,
    "Cloudbase-Init lacks settings that the guide asks for",
    why="With them it finds the service's metadata, and keeps names longer than 15 letters.",
    fix="Write the settings to cloudbase-init.conf, as docs/guest.md shows.",
    source=WINDOWS_GUIDE,
)
def cloudbase_settings(facts: Facts) -> Iterator[Evidence]:
    """Compare cloudbase-init.conf with the guide."""
    text = windows(facts).text(_CONF)
    if text is None:
        raise UnknownError("there is no cloudbase-init.conf")
    settings = read_ini(text).get("default", {})
    for key, value in (
        ("netbios_host_name_compatibility", "false"),
        ("metadata_services", "cloudbaseinit.metadata.services.httpservice.HttpService"),
    ):
        if value.lower() not in settings.get(key, "").lower():
            found = settings.get(key, "not set")[:120]
            yield Evidence(f"{_CONF} lacks a setting: {key}", expected=value, found=found)


@rule(
    "IMS908",
    Severity.ERROR,
    "Windows is hibernated",
    why="Its file system belongs to a hibernated system, whose state in hiberfil.sys is of other"
    " hardware.",
    fix="In the guest: powercfg /h off, then shutdown /s /t 0",
    source=FILE_TABLE,
)
def hibernated(facts: Facts) -> Iterator[Evidence]:
    """Read the first letters of hiberfil.sys; fast startup only deserves a note."""
    guest = windows(facts)
    if (_values(guest, "hibernation", "of /hiberfil.sys") or "").lower() == "hibr":
        yield Evidence("/hiberfil.sys holds a hibernated system")
    elif _values(guest, "hiberboot", "SYSTEM") == 1:
        yield Evidence("fast startup is on, so a plain shutdown hibernates", severity=Severity.NOTE)


@rule(
    "IMS909",
    Severity.WARNING,
    "Updates are waiting for a restart",
    why="They are finished at the first start on other hardware, which can fail or take long.",
    fix="In the guest: restart until no update is pending, then shut down.",
    source=INFERRED,
)
def pending_updates(facts: Facts) -> Iterator[Evidence]:
    """Look for the marks of Component Based Servicing and Windows Update."""
    guest = windows(facts)
    found = list(_values(guest, "pending", "SOFTWARE"))
    if guest.exists("/Windows/WinSxS/pending.xml"):
        found.append("/Windows/WinSxS/pending.xml")
    if found:
        yield Evidence(", ".join(found))


@rule(
    "IMS910",
    Severity.NOTE,
    "New disks stay offline",
    why="Data disks that are attached to the server have to be brought online by hand.",
    fix="In the guest: echo san policy=onlineall | diskpart",
    source=WINDOWS_GUIDE,
)
def san_policy(facts: Facts) -> Iterator[Evidence]:
    """Read SanPolicy; where it is not set, servers keep shared disks offline."""
    policy = _values(windows(facts), "san_policy", "SYSTEM")
    if policy != _ONLINE_ALL:
        found = "not set" if policy is None else f"SanPolicy = {policy}"
        yield Evidence("the SAN policy is not OnlineAll", expected="SanPolicy = 1", found=found)


@rule(
    "IMS911",
    Severity.WARNING,
    "A network interface does not use DHCP",
    why="The service gives addresses by DHCP; with another address the server cannot be reached.",
    fix="In the guest: netsh interface ip set address NAME dhcp, and set dns NAME dhcp",
    source=WINDOWS_GUIDE,
)
def windows_dhcp(facts: Facts) -> Iterator[Evidence]:
    """Count the interfaces of Tcpip without EnableDHCP."""
    interfaces = _values(windows(facts), "interfaces", "SYSTEM")
    static = sum(interface["dhcp"] == 0 for interface in interfaces)
    if static:
        of = counted(len(interfaces), "interface")
        yield Evidence(f"{static} of {of} {'has' if static == 1 else 'have'} a fixed address")


@rule(
    "IMS912",
    Severity.WARNING,
    "Remote desktop is off",
    why="The server can then only be reached by its console.",
    fix='In the guest: reg add "HKLM\\SYSTEM\\CurrentControlSet\\Control\\Terminal Server" '
    "/v fDenyTSConnections /t REG_DWORD /d 0 /f",
    source=WINDOWS_GUIDE,
)
def remote_desktop(facts: Facts) -> Iterator[Evidence]:
    """Read fDenyTSConnections, which is 1 unless someone turned it off."""
    if _values(windows(facts), "deny_rdp", "SYSTEM") != 0:
        yield Evidence("fDenyTSConnections is not 0")


@rule(
    "IMS913",
    Severity.WARNING,
    "Tools of another platform are installed",
    why="Their drivers look for a hypervisor that is not there.",
    fix="In the guest: uninstall them before the image is made.",
    source=INFERRED,
)
def windows_tools(facts: Facts) -> Iterator[Evidence]:
    """Look for the services of VMware tools, VirtualBox additions and Xen drivers."""
    services = _values(windows(facts), "services", "SYSTEM")
    for service, name in (
        ("VMTools", "VMware tools"),
        ("VBoxService", "VirtualBox guest additions"),
        ("xenvbd", "Xen PV drivers"),
    ):
        if service in services and services[service]["start"] != _DISABLED:
            yield Evidence(f"{name} (service {service})")
