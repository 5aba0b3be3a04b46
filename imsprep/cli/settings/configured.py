"""What imsprep.toml and IMSPREP_* say, for the commands that know sites and rules."""

from __future__ import annotations

import difflib
import os
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from imsprep.cli import screen
from imsprep.cli.help.completion import regions, sites
from imsprep.cli.help.sections import SectionedCommand
from imsprep.cli.options.common import F
from imsprep.cloud.sites import SITES
from imsprep.errors import ReadError, UsageError
from imsprep.options import DEFAULT_SITE

if TYPE_CHECKING:
    from imsprep.cli.settings.layers import Setting


class ConfiguredCommand(SectionedCommand):
    """A command whose options may stand in imsprep.toml, in a table of the command's name."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """Take what the file says for defaults; what `extra` says comes before it."""
        if not {"-h", "--help"} & set(args) and not extra.get("resilient_parsing"):
            screen.use_profile(_profile_of(args))
            written = option_defaults(self, str(info_name))
            extra["default_map"] = {**written, **extra.get("default_map", {})}
        return super().make_context(info_name, args, parent, **extra)


def _profile_of(args: list[str]) -> str | None:
    """Return the profile that a command line names; it must be known before its options are."""
    for number, word in enumerate(args):
        if word == "--profile":
            return args[number + 1] if number + 1 < len(args) else None
        if word.startswith("--profile="):
            return word.partition("=")[2]
    return None


def option_defaults(
    command: click.Command, name: str, file: Path | None = None
) -> dict[str, object]:
    """Return what the file here, or `file`, says of a command's options, by its parameters' names.

    Raises UsageError for an option that the command does not have.
    """
    written = config_options(name, file)
    params = {
        max(p.opts, key=len).removeprefix("--"): p
        for p in command.params
        if isinstance(p, click.Option) and p.name not in ("as_json", "profile")
    }
    for key, setting in written.items():
        if key not in params:
            raise UsageError(f"{setting.origin}: unknown key {key!r}{near(key, params)}")
        if params[key].is_flag and not isinstance(setting.value, bool):
            raise UsageError(
                f"{setting.origin}: {key!r} must be true or false, got {setting.value!r}"
            )
        if isinstance(setting.value, list) and not params[key].multiple:
            raise UsageError(f"{setting.origin}: {key!r} must be one value, got {setting.value!r}")
    return {str(params[key].name): _as_given(params[key], s.value) for key, s in written.items()}


def _as_given(param: click.Option, value: object) -> object:
    if param.multiple:
        return [str(one) for one in value] if isinstance(value, list) else [str(value)]
    return value if isinstance(value, bool) else str(value)


def config_options(name: str, file: Path | None = None) -> dict[str, Setting]:
    """Return what the file here, or `file`, says of a command's options."""
    from imsprep.cli.settings import layers as config

    folder = _folder() if file is None else file.parent
    return config.options(os.environ, folder, name, file=file, profile=screen.profile())


def near(word: str, known: Iterable[str]) -> str:
    """Return the advice for a word that is not known."""
    found = difflib.get_close_matches(word, list(known), n=1)
    return f"; did you mean {found[0]!r}?" if found else ""


def profile_option(command: F) -> F:
    """Add --profile; which one it is is known to `settings_here`."""

    def keep(ctx: click.Context, param: click.Parameter, value: str | None) -> None:
        if value is not None:
            screen.use_profile(value)

    return click.option(
        "--profile", metavar="NAME", expose_value=False, is_eager=True, callback=keep,
        envvar="IMSPREP_PROFILE", show_envvar=True, help="Use this profile of imsprep.toml.",
    )(command)  # fmt: skip


def split_commas(ctx: click.Context, param: click.Parameter, value: Any) -> tuple[str, ...]:
    """Take `IMS111,IMS216` for two values, as the environment does."""
    return tuple(part.strip() for text in value or () for part in text.split(","))


def settings_here(file: Path | None = None) -> dict[str, Setting]:
    """Return the settings that hold in the working directory, or those of `file`.

    Raises ReadError if that directory was removed, and as `config.load` does.
    """
    from imsprep.cli.settings import layers as config

    folder = _folder() if file is None else file.parent
    return config.load(os.environ, folder, file, screen.profile())


def _folder() -> Path:
    try:
        return Path.cwd()
    except FileNotFoundError as error:
        raise ReadError(
            "the current folder was removed, so imsprep.toml cannot be looked up; cd to another"
            " and run again"
        ) from error


class _SiteType(click.ParamType[str]):
    """A site: one of imsprep's own, or of the configuration."""

    name = "site"

    def get_metavar(self, param: click.Parameter, ctx: click.Context | None = None) -> str:
        """Return imsprep's own, as a help text shows them."""
        return f"[{'|'.join(SITES)}]"

    def convert(
        self, value: object, param: click.Parameter | None, ctx: click.Context | None
    ) -> str:
        """Return the name, or end with a usage error."""
        settings_here()  # it adds the configuration's
        if value not in SITES:
            from imsprep.cloud.endpoints import whose_region

            known = ", ".join(map(repr, SITES)) + whose_region(str(value))
            self.fail(f"{value!r} is not one of {known}.", param, ctx)
        return str(value)


def site_option(words: str) -> Callable[[F], F]:
    """Return the option --site, which is the configuration's where it is not given."""
    default = f"the region's, the configuration's, or {DEFAULT_SITE}"
    return click.option(
        "--site",
        shell_complete=sites,
        type=_SiteType(),
        default=_site_here,
        callback=_by_region,
        help=f"{words.rstrip('.')} (default: {default}).",
    )


def region_option(words: str) -> Callable[[F], F]:
    """Return the option --region, which is known before --site is, wherever it stands."""
    return click.option(
        "--region", envvar=["HW_REGION_NAME", "OS_REGION_NAME"], show_envvar=True,
        shell_complete=regions, is_eager=True, help=words,
    )  # fmt: skip


def site_of_region(site: Setting, region: str | None) -> Setting:
    """Return the site that has a region; one that was chosen and lacks it is refused."""
    from imsprep.cloud.endpoints import site_for

    return replace(site, value=site_for(site.value, region, chosen=site.origin != "default"))


def _site_here() -> str:
    site: str = settings_here()["site"].value
    return site


def _by_region(ctx: click.Context, param: click.Parameter, site: str) -> str:
    """Have the region decide where no site was chosen; one that contradicts it is refused."""
    region = ctx.params.get("region")
    given = ctx.get_parameter_source("site") is not ParameterSource.DEFAULT
    if region is None:
        return site
    from imsprep.cloud.endpoints import site_for

    return site_for(site, region, chosen=given or settings_here()["site"].origin != "default")
