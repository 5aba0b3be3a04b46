"""Which of udev's rules may give the network card of a server its name. Source: udev(7)."""

from __future__ import annotations

import re
from fnmatch import fnmatchcase

_NAME = re.compile(r"\bNAME\s*:?=\s*\"[^\"/]+\"")  # with a slash it is a file below /dev
_MATCH = re.compile(r"\b(SUBSYSTEMS?|KERNELS?|DRIVERS?|ATTRS?)(?:\{([^}]*)\})?\s*==\s*\"([^\"]*)\"")
# Of a card of virtio on KVM: its name by the kernel, and what its devices are called further up.
_CARD = {"SUBSYSTEM": ("net",), "KERNEL": ("eth0",),
         "SUBSYSTEMS": ("net", "virtio", "pci"), "DRIVER": ("",),
         "DRIVERS": ("virtio_net", "virtio-pci")}  # fmt: skip
_OTHERS = ("address", "idVendor", "idProduct", "vendor", "device")  # attributes of other cards
# Programs of Dell and of Red Hat that name nothing on a virtual machine, or only cards that
# HWADDR= binds (biosdevname(1); initscripts, rename_device.c).
_SILENT = ("biosdevname", "rename_device")


def names_cards(text: str) -> bool:
    """Return whether a rule in a file gives a name to a card of virtio that it could fit."""
    lines = text.replace("\\\n", " ").splitlines()
    return any(_NAME.search(line) and _may_fit(line) for line in lines)


def _may_fit(line: str) -> bool:
    if line.lstrip().startswith("#") or any(name in line for name in _SILENT):
        return False
    for key, attribute, value in _MATCH.findall(line):
        known = _CARD.get(key)
        patterns = value.split("|")
        if attribute in _OTHERS and not any(mark in value for mark in "*?["):
            return False
        if known is not None and not any(fnmatchcase(k, p) for k in known for p in patterns):
            return False
    return True
