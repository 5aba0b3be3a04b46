"""The machine: each thing that imsprep may need here, whether it is there, and what for.

Nothing is changed, no key is shown, and the network is asked only where services are given.
"""

from __future__ import annotations

import email.utils
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import urlsplit

from imsprep.errors import ImsprepError, MissingExtraError, show_path
from imsprep.extras import install_command
from imsprep.options import ServiceOptions
from imsprep.system.mounts import TRUSTED, file_system
from imsprep.system.paths import optional_path
from imsprep.system.threads import usable_cpus
from imsprep.trial.programs import TRIAL_S, find_firmware, find_qemu, why_no_kvm
from imsprep.units import GIB, format_size

OK, MISSING, FAILED = "ok", "missing", "failed"
_CLOCK_S = 900  # signatures are refused beyond; OBS answers RequestTimeTooSkewed
_TIMEOUT_S = 10
_LITTLE = GIB  # bytes of free space below which a container may not fit
EXTRAS = {  # an extra's module that nothing else brings, and what it is for
    "cloud": ("botocore", "uploading to OBS and calling the service"),
    "emulator": ("werkzeug", "the local service"),
    "guest": ("pyfsext", "looking inside file systems"),
    "guest-agpl": ("dissect.btrfs", "looking inside btrfs"),
    "batch": ("yaml", "plans of many images"),
    "dask": ("distributed", "handing a plan to a cluster"),
}
PROGRAMS = {
    "qemu-nbd": ("reading qcow2, VMDK, VHD and others", "qemu-utils"),
    "qemu-img": ("checking images that QEMU reads", "qemu-utils"),
    "qemu-system-x86_64": ("imsprep boot", "qemu-system-x86"),
}


@dataclass(frozen=True)
class Item:
    """One thing that was looked at."""

    name: str
    state: str  # OK, MISSING or FAILED
    words: str

    def as_dict(self) -> dict[str, str]:
        """Return plain values for JSON."""
        return asdict(self)


def look(folder: Path, services: ServiceOptions | None, log: Callable[[str], object]) -> list[Item]:
    """Look at everything; raises nothing for what is not as it should be.

    What takes seconds is announced by `log`.
    """
    items = [_python(), *_extras(), *_programs(), *_boot(log), *_place(folder), _credentials()]
    if services is not None:
        log(f"connecting to the services: {_TIMEOUT_S} s at most for each")
        items += _endpoints(services)
    return items


def _python() -> Item:
    version = ".".join(map(str, sys.version_info[:3]))
    return Item("Python", OK, f"{version}; {usable_cpus()} CPUs usable")


def _extras() -> Iterator[Item]:
    for name, (module, use) in EXTRAS.items():
        try:
            there = importlib.util.find_spec(module) is not None
        except ModuleNotFoundError:  # of a package around it
            there = False
        advice = "" if there else f": {install_command(name)}"
        yield Item(f"[{name}]", OK if there else MISSING, f"for {use}{advice}")


def _programs() -> Iterator[Item]:
    for name, (use, package) in PROGRAMS.items():
        path = shutil.which(name)
        if path is None:
            yield Item(name, MISSING, f"for {use}: on Debian, apt-get install {package}")
            continue
        said = subprocess.run([path, "--version"], capture_output=True, text=True, check=False)
        version = re.search(r"\d+(\.\d+)+", said.stdout)
        line = f"version {version[0]}" if version else "its version is not reported"
        yield Item(name, OK if said.returncode == 0 else FAILED, f"for {use}; {line}")


def _boot(log: Callable[[str], object]) -> Iterator[Item]:
    """Look for what a boot takes beyond QEMU; whether KVM works is tried where QEMU is there."""
    try:
        yield Item("OVMF", OK, f"for booting by UEFI; {find_firmware('x86')[0]}")
    except MissingExtraError:
        yield Item("OVMF", MISSING, "for booting by UEFI: on Debian, apt-get install ovmf")
    try:
        program = find_qemu("x86")
    except MissingExtraError:
        return
    if os.path.exists("/dev/kvm"):
        log(f"starting a guest to try KVM: {TRIAL_S:g} s at most")
    reason = why_no_kvm(program, "x86")
    words = f"without it a boot takes minutes: {reason}" if reason else "for a boot within seconds"
    yield Item("KVM", MISSING if reason else OK, words)


def _place(folder: Path) -> Iterator[Item]:
    try:
        free = shutil.disk_usage(folder).free
    except OSError as error:
        yield Item("folder", FAILED, f"{show_path(folder)}: {error.strerror}")
        return
    kind = _kind_of(folder) or "an unknown kind"
    place = show_path(folder.resolve())
    yield Item("file system", OK, f"{kind} under {place}; holes are {_holes(kind)}")
    state = OK if free >= _LITTLE else FAILED
    yield Item("space", state, f"{format_size(free)} free")


def _kind_of(folder: Path) -> str:
    try:
        opened = os.open(folder, os.O_RDONLY)
    except OSError:  # Windows opens no folders
        return ""
    try:
        return file_system(opened)
    finally:
        os.close(opened)


def _holes(kind: str) -> str:
    return (
        "taken for zeros" if kind in TRUSTED else "read, as this kind may not report them rightly"
    )


def _credentials() -> Item:
    from imsprep.cloud.credentials import find_here

    try:
        find_here()
    except ImsprepError as error:
        return Item("credentials", MISSING, f"only for the cloud: {error}")
    return Item("credentials", OK, "an access key and its secret were found")


def _endpoints(services: ServiceOptions) -> Iterator[Item]:
    """Reach the services' addresses without a key; their clock is compared with ours."""
    from imsprep.cloud.endpoints import endpoints_for, obs_endpoint

    region = services.region
    if region is None:
        yield Item("endpoints", FAILED, "no region is given, so the addresses are not known")
        return
    try:
        found = endpoints_for(services.site, region, None)
        addresses = {"ims": found.ims, "obs": obs_endpoint(region)}
    except (ImsprepError, AttributeError) as error:
        yield Item("endpoints", FAILED, str(error))
        return
    for name, url in addresses.items():
        yield from _reached(name, url, optional_path(services.ca_bundle))


def _reached(name: str, url: str, ca_bundle: Path | None) -> Iterator[Item]:
    import requests

    try:
        trusted: str | bool = str(ca_bundle) if ca_bundle else True
        answer = requests.head(url, timeout=_TIMEOUT_S, verify=trusted)
    except requests.RequestException as error:
        yield Item(
            name, FAILED, f"{urlsplit(url).netloc} cannot be reached: {type(error).__name__}"
        )
        return
    yield Item(name, OK, f"{urlsplit(url).netloc} answers {answer.status_code}")
    skew = _skew(answer.headers.get("Date"))
    if skew is not None:
        state = OK if abs(skew) < _CLOCK_S else FAILED
        yield Item("clock", state, f"{skew:+.0f} s against that of {name}")


def _skew(date: object) -> float | None:
    """Return the seconds by which our clock is ahead of an answer's Date."""
    try:
        return time.time() - email.utils.parsedate_to_datetime(str(date)).timestamp()
    except (TypeError, ValueError):
        return None
