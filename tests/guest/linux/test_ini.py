"""INI files of NetworkManager, systemd and Cloudbase-Init."""

from __future__ import annotations

from imsprep.guest.linux.ini import read_ini


def test_sections_and_keys_are_in_lower_case_and_the_last_value_counts() -> None:
    text = "[Match]\nName=ens3\nName = ens4\n[DEFAULT]\nalone\n# no\nPath=a=b:c\n"
    assert read_ini(text) == {
        "match": {"name": "ens4"}, "default": {"alone": "", "path": "a=b:c"},
    }  # fmt: skip


def test_what_is_no_ini_file_is_empty() -> None:
    assert read_ini("key=value without a section\n") == {}
    assert read_ini("") == {}
