"""The settings of sshd that matter, with the file each comes from. Source: sshd_config(5)."""

from __future__ import annotations

from imsprep.guest.model import Guest

MAIN, MORE = "/etc/ssh/sshd_config", "/etc/ssh/sshd_config.d/*.conf"


def sshd_settings(guest: Guest) -> dict[str, tuple[str, str]] | None:
    """Return keyword in lower case → (value, path); the first value counts. None without sshd."""
    main = guest.text(MAIN)
    if main is None:
        return None
    settings: dict[str, tuple[str, str]] = {}
    for number, line in enumerate(main.splitlines()):
        words = line.split()
        if words and words[0].lower() == "match":
            _take(settings, main.splitlines()[:number], MAIN)
            return settings
        if words and words[0].lower() == "include" and "sshd_config.d" in line:
            _take(settings, main.splitlines()[:number], MAIN)
            for path, entry in guest.matching(MORE):
                _take(settings, (entry.text or "").splitlines(), path)
            break  # a second look at the same files can change nothing
    _take(settings, main.splitlines(), MAIN)
    return settings


def _take(settings: dict[str, tuple[str, str]], lines: list[str], path: str) -> None:
    for line in lines:
        words = line.replace("=", " ", 1).split()
        if len(words) > 1 and not words[0].startswith("#"):
            if words[0].lower() == "match":
                return
            settings.setdefault(words[0].lower(), (words[1], path))
