"""The settings of sshd: the first value counts, and whose it is."""

from __future__ import annotations

from imsprep.guest.linux.sshd import MAIN, sshd_settings
from tests.support.guest.trees import linux_guest

CLOUD = "/etc/ssh/sshd_config.d/50-cloud-init.conf"


def settings(main: str, **more: str) -> dict[str, tuple[str, str]] | None:
    return sshd_settings(linux_guest({MAIN: main, **({CLOUD: more["cloud"]} if more else {})}))


def test_the_first_value_counts_with_the_file_that_has_it() -> None:
    main = "# PermitRootLogin yes\nPermitRootLogin no\nPermitRootLogin=yes\nPort 22\n"
    assert settings(main) == {"permitrootlogin": ("no", MAIN), "port": ("22", MAIN)}


def test_an_included_file_counts_where_it_is_included() -> None:
    include = "Include /etc/ssh/sshd_config.d/*.conf\n"
    cloud = "PasswordAuthentication no\nMatch User a\nPort 9\n"
    found = settings(f"{include}PasswordAuthentication yes\n", cloud=cloud)
    assert found == {"include": ("/etc/ssh/sshd_config.d/*.conf", MAIN),
                     "passwordauthentication": ("no", CLOUD)}  # fmt: skip
    found = settings(f"PasswordAuthentication yes\n{include}", cloud=cloud)
    assert found is not None
    assert found["passwordauthentication"] == ("yes", MAIN)
    assert settings("Port 22\n", cloud="Port 23\n") == {"port": ("22", MAIN)}


def test_what_holds_for_some_users_only_is_left_out() -> None:
    assert settings("Match User a\nPermitRootLogin yes\n") == {}


def test_without_sshd_nothing_is_known() -> None:
    assert sshd_settings(linux_guest({"/etc/hostname": "x"})) is None
