"""What names network cards in real systems: udev's rules and .link files."""

from __future__ import annotations

from typing import Any

# As Debian 12 has them.
DEFAULT = (
    "[Match]\nOriginalName=*\n\n[Link]\nNamePolicy=keep kernel database onboard slot path\n"
    "AlternativeNamesPolicy=database onboard slot path\nMACAddressPolicy=persistent\n"
)
SETUP_LINK = (
    'SUBSYSTEM!="net", GOTO="net_setup_link_end"\nIMPORT{builtin}="net_setup_link"\n'
    'NAME=="", ENV{ID_NET_NAME}!="", NAME="$env{ID_NET_NAME}"\nLABEL="net_setup_link_end"\n'
)
# As CentOS 7 has it.
NAME_SLOT = (
    'IMPORT{cmdline}="net.ifnames"\nENV{net.ifnames}=="0", GOTO="net_name_slot_end"\n'
    'NAME=="", ENV{ID_NET_NAME_SLOT}!="", NAME="$env{ID_NET_NAME_SLOT}"\n'
)
RULES, LINKS = "/lib/udev/rules.d", "/lib/systemd/network"
OWN_RULES, OWN_LINKS = "/etc/udev/rules.d", "/etc/systemd/network"
UDEV: dict[str, Any] = {
    "/lib/systemd/systemd-udevd": "x",
    f"{RULES}/80-net-setup-link.rules": SETUP_LINK,
    f"{LINKS}/99-default.link": DEFAULT,
    f"{LINKS}/73-usb-net-by-mac.link": "[Match]\nPath=*-usb-*\n\n[Link]\nNamePolicy=mac\n",
    f"{LINKS}/98-default-mac-none.link": "[Match]\nKind=bridge bond\n[Link]\nMACAddressPolicy=none\n",
}
CENTOS7 = {
    "/lib/systemd/systemd-udevd": "x", f"{RULES}/80-net-name-slot.rules": NAME_SLOT,
    f"{RULES}/80-net-setup-link.rules": None, f"{LINKS}/99-default.link": None,
}  # fmt: skip
