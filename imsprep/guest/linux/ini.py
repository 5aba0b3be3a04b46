"""Read INI files as NetworkManager, systemd and Cloudbase-Init write them."""

from __future__ import annotations

import configparser


def read_ini(text: str) -> dict[str, dict[str, str]]:
    """Return section → key → value, names in lower case; {} for what is no INI file.

    A repeated key keeps its last value. [DEFAULT] is a section like the others.
    """
    parser = configparser.RawConfigParser(
        strict=False, allow_no_value=True, delimiters=("=",), default_section="\0"
    )
    try:
        parser.read_string(text)
    except configparser.Error:
        return {}
    return {name.lower(): {k: v or "" for k, v in parser.items(name)} for name in parser.sections()}
