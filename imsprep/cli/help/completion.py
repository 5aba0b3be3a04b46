"""What a shell offers for the values of options: rule ids, sites, regions, words, images.

Each function is a `shell_complete` of click: it gets what was typed so far and returns what fits.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path

import click
from click.shell_completion import CompletionItem

Completer = Callable[[click.Context, click.Parameter, str], list[CompletionItem]]
_SEVERITIES = ("error", "warning", "note")


def words(*known: str) -> Completer:
    """Return a completer for an option that takes one of a few words."""

    def complete(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
        return _fitting(known, typed)

    return complete


def rules(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Offer rule ids with their titles, also behind a comma."""
    before, comma, last = typed.rpartition(",")
    found = {f"{before}{comma}{id_}": title for id_, title in _titles().items()}
    return _fitting(found, f"{before}{comma}{last}", found)


def severities(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Offer `ID=WORD`, the id first."""
    rule, sign, _ = typed.partition("=")
    if sign:
        return _fitting([f"{rule}={word}" for word in _SEVERITIES], typed)
    found = {f"{id_}=": title for id_, title in _titles().items()}
    return _fitting(found, typed, found)


def sites(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Offer the sites with their names."""
    from imsprep.cloud.sites import SITES

    titles = {key: site.title for key, site in SITES.items()}
    return _fitting(titles, typed, titles)


def regions(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Offer the known regions."""
    from imsprep.cloud.endpoints import CLOUDS

    return _fitting(sorted({region for cloud in CLOUDS for region in cloud.regions}), typed)


def images(ctx: click.Context, param: click.Parameter, typed: str) -> list[CompletionItem]:
    """Offer the disk images of a folder; where a folder fits as well, the shell's own files."""
    from imsprep import api

    folder, slash, name = typed.rpartition("/")
    try:
        inside = sorted(Path(folder + slash or ".").iterdir())
    except OSError:
        inside = []
    fitting = [path for path in inside if path.name.startswith(name)]
    found = [p.name for p in fitting if p.suffix.lower() in api.image_suffixes() and not p.is_dir()]
    if not found or any(path.is_dir() for path in fitting):
        return [CompletionItem(typed, type="file")]
    return [CompletionItem(f"{folder}{slash}{one}") for one in found]


def _titles() -> dict[str, str]:
    from imsprep import api

    return {rule.id: rule.title for rule in api.rules()}


def _fitting(
    known: Iterable[str], typed: str, helps: Mapping[str, str] | None = None
) -> list[CompletionItem]:
    return list(_items(known, typed, helps or {}))


def _items(known: Iterable[str], typed: str, helps: Mapping[str, str]) -> Iterator[CompletionItem]:
    for word in known:
        if word.startswith(typed):
            yield CompletionItem(word, help=helps.get(word))
