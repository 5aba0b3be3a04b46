"""`imsprep os-versions`: which values of os_version are known for a site, and since when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from imsprep.cli.options.common import output_options, print_result
from imsprep.cli.options.service import service_options

if TYPE_CHECKING:
    from imsprep.cloud.sites import OsVersions


@click.command(epilog="Example: imsprep os-versions debian --site otc")
@click.argument("words", nargs=-1, metavar="[WORD]...")
@click.option("--online", is_flag=True, help="Ask the region for its own list.")
@service_options
@output_options
def command(words: tuple[str, ...], online: bool, as_json: bool, quiet: bool, **where: Any) -> None:
    """List the os_version values that are published for a site, or only those with the WORDs.

    The published lists are dated and differ by region; with --online the region's own is shown. A
    system that is not listed is registered as Other.
    """
    from imsprep import api

    site = where.pop("site")
    lists = api.os_versions(site, online=online, **where)
    print_result(as_json, _as_dict(site, lists, words), _text(lists, words))


def _chosen(values: tuple[str, ...], words: tuple[str, ...]) -> list[str]:
    return [v for v in values if all(word.lower() in v.lower() for word in words)]


def _as_dict(site: str, lists: list[OsVersions], words: tuple[str, ...]) -> dict[str, object]:
    return {
        "site": site,
        "lists": [
            {
                "source": one.source,
                "date": one.date or None,
                "note": one.note,
                "os_versions": _chosen(one.all, words),
                "bare": one.bare,
            }
            for one in lists
        ],
    }


def _text(lists: list[OsVersions], words: tuple[str, ...]) -> str:
    lines: list[str] = []
    for one in lists:
        found = _chosen(one.all, words)
        dated = f", {one.date}" if one.date else ""
        lines += [f"{one.source}{dated}: {len(found)} of {len(one.all)} values", *found]
        for system, versions in one.bare.items():
            if not words or any(word.lower() in system.lower() for word in words):
                lines.append(f"{system}, whose spelling is not documented: {', '.join(versions)}")
        lines += [one.note] if one.note else []
        lines.append("")
    return "\n".join(lines).rstrip()
