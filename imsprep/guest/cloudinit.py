"""cloud-init: whether it is there, will run, and is set as the service's guide asks.

Sources: cloud-init's documentation (boot stages, ds-identify, configuration merging);
"Installing Cloud-Init" and "Configuring Cloud-Init", user guide of the service.
"""

from __future__ import annotations

from typing import Any

from imsprep.guest.model import Guest
from imsprep.guest.network import read_yaml

MAIN, MORE = "/etc/cloud/cloud.cfg", "/etc/cloud/cloud.cfg.d/*.cfg"
PROGRAMS = ("/usr/bin/cloud-init", "/usr/local/bin/cloud-init")
DISABLED = "/etc/cloud/cloud-init.disabled"

# Where an enabled unit or start script shows; a generator enables it at boot by itself.
_ENABLED = (
    "/etc/systemd/system/*.wants/cloud-init*.service",
    "/etc/systemd/system/*.wants/cloud-init.target",
    "/etc/systemd/system-generators/cloud-init-generator",
    "/lib/systemd/system-generators/cloud-init-generator",
    "/etc/rc3.d/S*cloud-init*", "/etc/rc.d/rc3.d/S*cloud-init*", "/etc/runlevels/*/cloud-init*",
)  # fmt: skip


def installed(guest: Guest) -> bool:
    """Say whether cloud-init is there."""
    return any(guest.exists(path) for path in PROGRAMS) or guest.exists(MAIN)


def enabled(guest: Guest) -> bool:
    """Say whether anything starts it at boot."""
    return any(True for _ in guest.matching(*_ENABLED))


def settings(guest: Guest) -> dict[str, Any]:
    """Merge the configuration files as cloud-init does: later files win, mappings are merged."""
    merged: dict[str, Any] = {}
    texts = [guest.text(MAIN) or ""]
    texts += [entry.text or "" for _, entry in guest.matching(MORE)]
    for text in texts:
        _merge(merged, read_yaml(text))
    return merged


def _merge(into: dict[str, Any], more: dict[str, Any]) -> None:
    for key, value in more.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict):
            into[key] = {**into[key], **value}
        else:
            into[key] = value


def where(guest: Guest, key: str) -> str:
    """Return the file that has the last word on a setting."""
    files = [path for path, entry in guest.matching(MORE) if key in read_yaml(entry.text or "")]
    return files[-1] if files else MAIN
