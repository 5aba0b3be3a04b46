"""Rules of udev that may name a server's network card, as distributions have them."""

from __future__ import annotations

import pytest

from imsprep.guest.linux.udev import names_cards


@pytest.mark.parametrize(
    ("text", "names"),
    [
        ('SUBSYSTEM=="net", ACTION=="add", NAME="lan0"\n', True),
        ('SUBSYSTEM=="net", KERNEL=="eth*", NAME:="lan%n"\n', True),
        ('SUBSYSTEM=="net", SUBSYSTEMS=="pci", DRIVERS=="?*", NAME="$env{ID_NET_NAME_PATH}"', True),
        ('SUBSYSTEM=="net", \\\n  ATTR{type}=="1", \\\n  NAME="lan0"\n', True),
        # For other cards and devices, or no name of a card.
        ('SUBSYSTEM=="net", ATTR{address}=="00:50:56:01:02:03", NAME="lan0"\n', False),
        ('SUBSYSTEM=="net", SUBSYSTEMS=="usb", ATTRS{idVendor}=="413c", NAME="idrac"\n', False),
        ('SUBSYSTEM=="net", NAME=="", DRIVERS=="ibmveth", NAME="ibmveth$result"\n', False),
        ('KERNEL=="device-mapper", NAME="mapper/control"\n', False),
        ('SUBSYSTEM=="block", ENV{DM_NAME}=="?*", SYMLINK+="mapper/x"\n', False),
        ('NAME=="eth0", RUN+="/bin/x"\n', False),
        ('# SUBSYSTEM=="net", NAME="lan0"\n', False),
        ('SUBSYSTEM=="net", ATTR{type}=="1", PROGRAM="/lib/udev/rename_device", NAME="$result"\n',
         False),
    ],
)  # fmt: skip
def test_a_rule_counts_that_could_fit_a_card_of_virtio(text: str, names: bool) -> None:
    assert names_cards(text) is names
