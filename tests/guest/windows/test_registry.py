"""The rules of IMS9xx, and the registry and NTFS that they learn from."""

from __future__ import annotations

import copy
import io
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from fixtures.guest_hives import empty_hive, make_hive
from imsprep.checks.facts import Facts
from imsprep.checks.registry import all_rules
from imsprep.guest.fs.volumes import Found
from imsprep.guest.inspect import Opened, read_windows
from imsprep.guest.model import Entry, Guest, Volume
from imsprep.guest.sandbox import inspect_image
from imsprep.guest.tree import Tree
from imsprep.guest.windows.registry import take_registry
from imsprep.guest.windows.release import parse_windows
from imsprep.ims.request import RequestFields
from imsprep.report import Finding, Severity, Skipped
from tests.support.guest.trees import MemoryFileSystem
from tests.support.running import need

OS_VERSION = "Windows Server 2016 Datacenter 64bit"
CONF = "/Program Files/Cloudbase Solutions/Cloudbase-Init/conf/cloudbase-init.conf"
E, W, N = Severity.ERROR, Severity.WARNING, Severity.NOTE

REGISTRY: dict[str, Any] = {
    "ProductName": "Windows Server 2016 Datacenter", "EditionID": "ServerDatacenter",
    "CurrentBuild": "14393", "pending": [], "hibernation": None, "hiberboot": 0, "renames": False,
    "services": {
        "viostor": {"start": 0, "account": None, "image": "system32\\drivers\\viostor.sys"},
        "vioscsi": {"start": 0, "account": None, "image": "system32\\drivers\\vioscsi.sys"},
        "netkvm": {"start": 3, "account": None, "image": "system32\\drivers\\netkvm.sys"},
        "cloudbase-init": {"start": 2, "account": ".\\cloudbase-init", "image": "python.exe"},
    },
    "interfaces": [{"dhcp": 1}], "san_policy": 1, "deny_rdp": 0, "machine": "AMD64",
}  # fmt: skip
CONF_TEXT = """[DEFAULT]
username=Administrator
netbios_host_name_compatibility=false
metadata_services=cloudbaseinit.metadata.services.httpservice.HttpService
"""


def windows_guest(registry: dict[str, Any] | None = None, **known: Any) -> Guest:
    files = {f"/Windows/System32/drivers/{name}.sys": Entry("file", size=1)
             for name in ("viostor", "vioscsi", "netkvm")}  # fmt: skip
    files[CONF] = Entry("file", text=CONF_TEXT)
    values = {"system": "windows", "machine": "x86_64", "table": "mbr", "boot_code": True,
              "volumes": (Volume("partition 1", 1 << 20, 1 << 30, "NTFS", clean=True),),
              "files": files, "registry": REGISTRY if registry is None else registry}  # fmt: skip
    return Guest(**{**values, **known})


def check(guest: Guest, os_version: str = OS_VERSION) -> tuple[list[Finding], list[Skipped]]:
    request = RequestFields(os_version=os_version)
    facts = Facts(name="disk.raw", file_size=1, request=request, guest=guest)
    results = [rule.run(facts) for rule in all_rules() if rule.id.startswith("IMS9")]
    return [f for found, _ in results for f in found], [s for _, s in results if s]


def changed(path: str, value: Any) -> dict[str, Any]:
    registry = copy.deepcopy(REGISTRY)
    *folders, name = path.split("/")
    place = registry
    for folder in folders:
        place = place[folder]
    if value is None:
        del place[name]
    else:
        place[name] = value
    return registry


def test_a_well_prepared_windows_has_only_the_notice_of_its_end() -> None:
    findings, skipped = check(windows_guest())
    assert [f.rule for f in findings] == ["IMS901"]
    assert skipped == []


def test_a_san_policy_that_is_not_set_keeps_disks_offline() -> None:
    findings, _ = check(windows_guest({**REGISTRY, "san_policy": None}))
    assert [f.rule for f in findings] == ["IMS901", "IMS910"]


@pytest.mark.parametrize(
    ("path", "value", "rule", "severity"),
    [
        ("ProductName", "Windows Server 2012 R2 Datacenter", "IMS902", E),
        ("ProductName", "Windows Server 2016 Standard", "IMS902", W),
        ("services/viostor", None, "IMS903", E),
        ("services/viostor/start", 4, "IMS903", E),
        ("services/viostor/start", 3, "IMS903", E),
        ("services/vioscsi", None, "IMS904", W),
        ("services/netkvm/start", 4, "IMS905", E),
        ("services/cloudbase-init", None, "IMS906", W),
        ("services/cloudbase-init/start", 3, "IMS906", W),
        ("services/cloudbase-init/account", "LocalSystem", "IMS906", W),
        ("hibernation", "HIBR", "IMS908", E),
        ("hiberboot", 1, "IMS908", N),
        ("pending", ["RebootPending"], "IMS909", W),
        ("san_policy", 3, "IMS910", N),
        ("interfaces", [{"dhcp": 1}, {"dhcp": 0}], "IMS911", W),
        ("deny_rdp", 1, "IMS912", W),
        ("services/VMTools", {"start": 2, "account": None, "image": None}, "IMS913", W),
    ],
)
def test_a_planted_fault_is_found(path: str, value: Any, rule: str, severity: Severity) -> None:
    findings, _ = check(windows_guest(changed(path, value)))
    assert [(f.rule, f.severity) for f in findings if f.rule != "IMS901"] == [(rule, severity)]


def test_a_missing_driver_file_is_found_though_the_service_is_there() -> None:
    guest = windows_guest(files={CONF: Entry("file", text=CONF_TEXT)})
    assert [f.rule for f in check(guest)[0]] == ["IMS901", "IMS903", "IMS904", "IMS905"]


def test_a_setting_of_cloudbase_init_lacks() -> None:
    files = {**windows_guest().files, CONF: Entry("file", text="[DEFAULT]\nusername=Admin\n")}
    assert [f.rule for f in check(windows_guest(files=files))[0]] == ["IMS901", "IMS907", "IMS907"]


def test_a_hive_that_was_not_read_is_skipped() -> None:
    guest = windows_guest({"hibernation": None}, unread=("hive SYSTEM is broken",))
    findings, skipped = check(guest)
    assert [f.rule for f in findings] == ["IMS901"]
    assert {s.rule for s in skipped} >= {
        "IMS902",
        "IMS903",
        "IMS905",
        "IMS906",
        "IMS908",
        "IMS909",
        "IMS912",
    }
    assert all("SYSTEM is broken" in s.reason for s in skipped if s.rule == "IMS903")


@pytest.mark.parametrize(
    ("text", "release", "edition"),
    [
        ("Windows Server 2012 R2 Datacenter 64bit", "server 2012 r2", "datacenter"),
        ("Windows Server 2012 Essentials R2 64bit", "server 2012 r2", "essentials"),
        ("Windows 7 Professional 32bit", "7", "professional"),
        ("Windows 10 Pro", "10", "professional"),
        ("Windows 10 64bit", "10", None),
    ],
)
def test_names_of_windows(text: str, release: str, edition: str | None) -> None:
    assert parse_windows(text) == (release, edition)
    assert parse_windows("Ubuntu 18.04 server 64bit") is None


SYSTEM_KEYS: dict[str, dict[str, str | int]] = {
    "Select": {"Current": 2},
    r"ControlSet001\Services\viostor": {"Start": 4},
    r"ControlSet002\Services\viostor": {"Start": 0, "ImagePath": r"system32\drivers\viostor.sys"},
    r"ControlSet002\Services\netkvm": {"Start": 3},
    r"ControlSet002\Services\cloudbase-init": {"Start": 2, "ObjectName": r".\cloudbase-init"},
    r"ControlSet002\Services\partmgr\Parameters": {"SanPolicy": 1},
    r"ControlSet002\Services\Tcpip\Parameters\Interfaces\{11111111}": {"EnableDHCP": 1},
    r"ControlSet002\Control\Terminal Server": {"fDenyTSConnections": 0},
    r"ControlSet002\Control\Session Manager\Environment": {"PROCESSOR_ARCHITECTURE": "AMD64"},
}
SOFTWARE_KEYS: dict[str, dict[str, str | int]] = {
    r"Microsoft\Windows NT\CurrentVersion": {
        "ProductName": "Windows Server 2016 Datacenter", "CurrentBuild": "14393"},
    r"Microsoft\Windows\CurrentVersion\Component Based Servicing\RebootPending": {},
}  # fmt: skip
HIVE_FOLDER = "/Windows/System32/config"


@pytest.fixture(scope="module")
def hives(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("hives")
    make_hive(folder / "SYSTEM", SYSTEM_KEYS)
    make_hive(folder / "SOFTWARE", SOFTWARE_KEYS)
    return folder


@need("hivexregedit")
def test_the_registry_is_read_from_hives(hives: Path) -> None:
    pytest.importorskip("pyregf")
    files = {f"{HIVE_FOLDER}/{n}": (hives / n).read_bytes() for n in ("SYSTEM", "SOFTWARE")}
    unread: list[str] = []
    values = take_registry(
        Tree({"/": MemoryFileSystem({**files, "/hiberfil.sys": "HIBR\0"})}), unread
    )
    assert unread == []
    assert values["ProductName"] == "Windows Server 2016 Datacenter"
    assert values["pending"] == ["RebootPending"]
    assert values["services"]["viostor"]["start"] == 0, "of the control set that Select names"
    assert values["interfaces"] == [{"dhcp": 1}]
    assert (values["san_policy"], values["deny_rdp"], values["machine"]) == (1, 0, "AMD64")
    assert values["hibernation"] == "HIBR"


@need("hivexregedit")
def test_what_is_known_of_a_windows_before_each_step_passes_for_no_more(hives: Path) -> None:
    pytest.importorskip("pyregf")
    files = {f"{HIVE_FOLDER}/{n}": (hives / n).read_bytes() for n in ("SYSTEM", "SOFTWARE")}
    filesystem = MemoryFileSystem({**files, "/hiberfil.sys": "HIBR\0", CONF: "[DEFAULT]\n"})
    volume = Volume("partition 1", 1 << 20, 1 << 30, "NTFS")
    root = Opened(Found(volume, io.BytesIO()), filesystem)
    told: list[Guest] = []
    whole = read_windows(
        Guest(volumes=(volume,)), Tree({"/": filesystem}), root, [root], told.append
    )
    fired = {f.rule for f in check(whole)[0]}
    assert {"IMS903", "IMS907", "IMS908", "IMS909"} <= fired
    kept = []
    for guest in told:
        findings, skipped = check(replace(guest, unread=("stuck",)))
        kept.append({f.rule for f in findings})
        assert kept[-1] <= fired
        assert fired <= kept[-1] | {s.rule for s in skipped}
    assert kept == [{"IMS901"}, {"IMS901"}, {"IMS901", "IMS907"}]


@pytest.mark.parametrize("data", [b"", b"regf", b"no hive" * 1000, empty_hive()[:4096]])
def test_a_broken_hive_is_noted(data: bytes) -> None:
    pytest.importorskip("pyregf")
    files = {f"{HIVE_FOLDER}/SYSTEM": data, f"{HIVE_FOLDER}/SOFTWARE": data}
    unread: list[str] = []
    take_registry(Tree({"/": MemoryFileSystem(files)}), unread)
    assert [note.split()[1].rstrip(":") for note in unread] == ["SOFTWARE", "SYSTEM"]


@pytest.mark.slow
@need("hivexregedit", "mkntfs", "ntfs-3g")
@pytest.mark.skipif(not os.access("/dev/fuse", os.W_OK), reason="cannot use /dev/fuse")
@pytest.mark.parametrize("dirty", [False, True])
def test_an_ntfs_image_is_read(hives: Path, tmp_path: Path, dirty: bool) -> None:
    pytest.importorskip("pyfsntfs")
    image, folder = tmp_path / "win.raw", tmp_path / "mnt"
    make_ntfs(image, folder, hives)
    if dirty:
        set_dirty(image)
    guest = inspect_image(image)
    assert guest.unread == ()
    assert (guest.system, guest.machine) == ("windows", "x86_64")
    assert "/Windows/System32/drivers/viostor.sys" in guest.files
    assert guest.volumes[0].clean is not dirty
    assert "IMS903" not in {f.rule for f in check(guest)[0]}


ESP_LOADERS = ("Boot/bootx64.efi", "Microsoft/Boot/bootmgfw.efi")


@pytest.mark.slow
@need("hivexregedit", "mkntfs", "ntfs-3g", "sgdisk", "mkfs.vfat", "mmd", "mcopy")
@pytest.mark.skipif(not os.access("/dev/fuse", os.W_OK), reason="cannot use /dev/fuse")
@pytest.mark.parametrize(
    ("loaders", "severity"), [(ESP_LOADERS, None), (ESP_LOADERS[1:], E), ((), E)]
)
def test_the_loader_of_a_windows_on_uefi_is_looked_for(
    hives: Path, tmp_path: Path, loaders: tuple[str, ...], severity: Severity | None
) -> None:
    pytest.importorskip("pyfsntfs")
    make_ntfs(tmp_path / "win.raw", tmp_path / "mnt", hives)
    disk = on_gpt(
        tmp_path / "disk.raw", make_esp(tmp_path / "esp.img", loaders), tmp_path / "win.raw"
    )
    guest = inspect_image(disk)
    assert (guest.system, guest.table, guest.unread) == ("windows", "gpt", ())
    request = RequestFields(os_version=OS_VERSION, hw_firmware_type="uefi")
    facts = Facts(name="disk.raw", file_size=1, request=request, guest=guest)
    (rule,) = [rule for rule in all_rules() if rule.id == "IMS804"]
    findings, skipped = rule.run(facts)
    assert skipped is None
    assert [f.severity for f in findings] == ([severity] if severity else [])


def make_esp(image: Path, loaders: tuple[str, ...]) -> Path:
    with image.open("wb") as file:
        file.truncate(40 << 20)
    subprocess.run(["mkfs.vfat", "-F", "32", image], check=True, capture_output=True)
    loader = image.with_suffix(".efi")
    loader.write_bytes(b"MZ")
    for folder in ("EFI", "EFI/Boot", "EFI/Microsoft", "EFI/Microsoft/Boot"):
        subprocess.run(["mmd", "-i", image, f"::/{folder}"], check=True)
    for name in loaders:
        subprocess.run(["mcopy", "-i", image, loader, f"::/EFI/{name}"], check=True)
    return image


def on_gpt(disk: Path, esp: Path, ntfs: Path) -> Path:
    at = 1 << 20
    with disk.open("wb") as file:
        file.truncate(2 * at + esp.stat().st_size + ntfs.stat().st_size)
    for number, (code, source) in enumerate((("ef00", esp), ("0700", ntfs)), 1):
        sectors = source.stat().st_size // 512
        subprocess.run(["sgdisk", "-a", "1", "-n", f"{number}:{at // 512}:{at // 512 + sectors - 1}",
                        "-t", f"{number}:{code}", disk], check=True, capture_output=True)  # fmt: skip
        with disk.open("r+b") as file:
            file.seek(at)
            file.write(source.read_bytes())
        at += source.stat().st_size
    return disk


SET = "ControlSet002"
# Values written into the hives by hivexregedit, and the only finding that must come of each.
HIVE_FAULTS: dict[str, tuple[str, dict[str, dict[str, str | int]], str]] = {
    "viostor never": ("SYSTEM", {rf"{SET}\Services\viostor": {"Start": 4}}, "IMS903"),
    "viostor on demand": ("SYSTEM", {rf"{SET}\Services\viostor": {"Start": 3}}, "IMS903"),
    "vioscsi never": ("SYSTEM", {rf"{SET}\Services\vioscsi": {"Start": 4}}, "IMS904"),
    "netkvm never": ("SYSTEM", {rf"{SET}\Services\netkvm": {"Start": 4}}, "IMS905"),
    "Cloudbase-Init by hand": ("SYSTEM", {rf"{SET}\Services\cloudbase-init": {"Start": 3}}, "IMS906"),
    "Cloudbase-Init as system": (
        "SYSTEM", {rf"{SET}\Services\cloudbase-init": {"ObjectName": "LocalSystem"}}, "IMS906"),
    "fast startup": (
        "SYSTEM", {rf"{SET}\Control\Session Manager\Power": {"HiberbootEnabled": 1}}, "IMS908"),
    "a restart is pending": ("SOFTWARE", {
        r"Microsoft\Windows\CurrentVersion\WindowsUpdate\Auto Update\RebootRequired": {}}, "IMS909"),
    "disks stay offline": (
        "SYSTEM", {rf"{SET}\Services\partmgr\Parameters": {"SanPolicy": 3}}, "IMS910"),
    "a fixed address": ("SYSTEM", {
        rf"{SET}\Services\Tcpip\Parameters\Interfaces\{{22222222}}": {"EnableDHCP": 0}}, "IMS911"),
    "no remote desktop": (
        "SYSTEM", {rf"{SET}\Control\Terminal Server": {"fDenyTSConnections": 1}}, "IMS912"),
    "VMware tools": ("SYSTEM", {rf"{SET}\Services\VMTools": {"Start": 2}}, "IMS913"),
    "another edition": ("SOFTWARE", {
        r"Microsoft\Windows NT\CurrentVersion": {"ProductName": "Windows Server 2016 Standard"}}, "IMS902"),
}  # fmt: skip


@need("hivexregedit")
@pytest.mark.parametrize("name", [None, *HIVE_FAULTS])
def test_a_fault_in_a_real_hive_is_found(name: str | None, tmp_path: Path) -> None:
    pytest.importorskip("pyregf")
    system = {**SYSTEM_KEYS, rf"{SET}\Services\vioscsi": {"Start": 0}}
    software = {k: v for k, v in SOFTWARE_KEYS.items() if "RebootPending" not in k}
    hive, changes, rule = HIVE_FAULTS[name] if name else ("SYSTEM", {}, None)
    for values, its in ((system, "SYSTEM"), (software, "SOFTWARE")):
        merged = {k: {**values.get(k, {}), **v} for k, v in changes.items()} if hive == its else {}
        make_hive(tmp_path / its, {**values, **merged})
    files = {f"{HIVE_FOLDER}/{n}": (tmp_path / n).read_bytes() for n in ("SYSTEM", "SOFTWARE")}
    unread: list[str] = []
    values = take_registry(Tree({"/": MemoryFileSystem(files)}), unread)
    assert unread == []
    findings, skipped = check(windows_guest(values))
    assert [f.rule for f in findings if f.rule != "IMS901"] == ([rule] if rule else [])
    assert skipped == []


def make_ntfs(image: Path, folder: Path, hives: Path) -> None:
    """An NTFS on the bare disk with what a check looks at; ntfs-3g writes the files."""
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkntfs", "-q", "-F", "-Q", image], check=True, capture_output=True)
    folder.mkdir()
    subprocess.run(["ntfs-3g", image, folder], check=True)
    try:
        config, drivers = folder / "Windows/System32/config", folder / "Windows/System32/drivers"
        config.mkdir(parents=True)
        drivers.mkdir()
        for name in ("SYSTEM", "SOFTWARE"):
            (config / name).write_bytes((hives / name).read_bytes())
        for name in ("viostor", "vioscsi", "netkvm"):
            (drivers / f"{name.upper()}.SYS").write_bytes(b"MZ")  # NTFS does not mind
    finally:
        subprocess.run(["umount", folder], check=True)


def set_dirty(image: Path) -> None:
    """Set the dirty flag in $Volume's $VOLUME_INFORMATION: version 3.1, then the flags."""
    data = bytearray(image.read_bytes())
    attribute = bytes.fromhex("70000000")
    at = data.index(b"$\0V\0o\0l\0u\0m\0e\0")
    at = data.index(attribute, at)
    value = at + int.from_bytes(data[at + 20 : at + 22], "little")
    assert data[value + 8 : value + 10] == b"\x03\x01"
    data[value + 10] |= 1
    image.write_bytes(data)
