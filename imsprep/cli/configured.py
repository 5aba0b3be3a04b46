"""What imsprep.toml and IMSPREP_* say, for the commands that know sites and rules."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from imsprep.cli.options.common import F
from imsprep.cloud.sites import DEFAULT_SITE, SITES
from imsprep.errors import ReadError

if TYPE_CHECKING:
    from imsprep.checks.policy import Policy
    from imsprep.cli.settings import Setting

RULE_OPTIONS = ("select", "ignore", "severity")  # what `policy_of` takes of a command line


def settings_here(file: Path | None = None) -> dict[str, Setting]:
    """Return the settings that hold in the working directory, or those of `file`.

    Raises ReadError if that directory was removed, and as `config.load` does.
    """
    from imsprep.cli import settings as config

    try:
        folder = Path.cwd() if file is None else file.parent
    except FileNotFoundError as error:
        raise ReadError(
            "the current folder was removed, so that there is no looking for imsprep.toml; cd to"
            " another and run again"
        ) from error
    return config.load(os.environ, folder, file)


def site_option(words: str) -> Callable[[F], F]:
    """Return the option --site, which is the configuration's where it is not given."""
    return click.option(
        "--site",
        type=click.Choice(list(SITES)),
        default=_site_here,
        show_default=f"the configuration's, or {DEFAULT_SITE}",
        help=words,
    )


def _site_here() -> str:
    site: str = settings_here()["site"].value
    return site


def policy_of(
    settings: Mapping[str, Setting],
    *,
    select: Sequence[str] = (),
    ignore: Sequence[str] = (),
    severity: Sequence[str] = (),
) -> Policy:
    """Put the rules' settings together; on the command line each list replaces the file's."""
    from imsprep.checks.policy import Policy
    from imsprep.cli import settings as config

    given = {rule: word for rule, _, word in (text.partition("=") for text in severity)}
    written = config.severities(settings["severity"].value, settings["severity"].origin)
    return Policy(
        select=tuple(select) or tuple(settings["select"].value),
        ignore=tuple(ignore) or tuple(settings["ignore"].value),
        severity={**written, **config.severities(given, "--severity")},
        waivers=config.waivers(settings["waivers"].value, settings["waivers"].origin),
        today=datetime.datetime.now(tz=datetime.UTC).date(),
    )
