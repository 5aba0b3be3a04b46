"""GRUB 2 followed: its script is run as far as it decides which entry starts, and from where.

Variables, tests of files, `search`, `configfile`, `source`, grubenv and Boot Loader Specification
entries (`blscfg`) are followed on the disk's own volumes. What only a running machine knows makes
the menu *unsure*: it is then unknown, not wrong.

`configfile` shows a menu that does not return: `_MenuShownError` carries what it comes to out of
the script that asked for it. `source` runs a file in place. Sources: GRUB manual 2.12;
grub-core/normal/main.c and menu.c.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

from imsprep.guest.chain.devices import TEXT_LIMIT, Devices, File, UnknownStepError
from imsprep.guest.chain.grub import commands, effects
from imsprep.guest.chain.grub.conditions import holds
from imsprep.guest.chain.grub.state import SET_AT_BOOT, Choice, Menu, Started, State
from imsprep.guest.chain.grub.syntax import ScriptError, Statement, UnfinishedError, parse
from imsprep.guest.chain.values import BootEntry

STEP_LIMIT = 20_000  # commands that are run
FILE_LIMIT = 24  # configuration files that are gone through
ENTRY_LIMIT = 200

# Options of `menuentry` that take the next word for their value.
_ENTRY_OPTIONS = ("--class", "--users", "--hotkey", "--id", "--source")


@dataclass(frozen=True)
class BuiltIn(File):
    """The script that is built into a GRUB program; its path is the program's."""

    script: str = ""
    title: str | None = None  # of a program that is no file

    @property
    def name(self) -> str:
        """`VOLUME:PATH`, or its title."""
        return self.title or super().name

    def text(self) -> str:
        """Return the script."""
        return self.script


class _Shown(NamedTuple):
    """What showing a menu, or an entry of it, comes to."""

    default: int | None = None  # the place of the entry that starts
    waits: str | None = None  # why it does not start by itself


class _MenuShownError(Exception):
    """`configfile` showed a menu and does not return."""

    def __init__(self, shown: _Shown) -> None:
        super().__init__("it shows another menu")
        self.shown = shown


class _LeftError(Exception):
    """`break` or `continue` of so many loops."""

    def __init__(self, loops: int, *, again: bool) -> None:
        super().__init__("a loop is left")
        self.loops, self.again = loops, again


class _ReturnedError(Exception):
    """`return`: the file, function or entry that is run ends here."""


def follow(
    devices: Devices, config: File, firmware: str, *, root: str | None = None, prefix: str = ""
) -> Menu:
    """Run a configuration file as GRUB does; `root` and `prefix` are those built into it."""
    device = root or config.volume
    folder = prefix or config.path.rpartition("/")[0]
    state = State(devices, firmware, device)
    state.variables |= {"prefix": f"({device}){folder}", "cmdpath": f"({config.volume}){folder}"}
    run, menu = _Run(state), state.menu
    try:
        run.show(config)
        if isinstance(config, BuiltIn):  # GRUB goes on at the prefix that its script leaves
            run.show_named(run.default_config(), f"{config.name} goes on with")
    except _MenuShownError as error:
        menu.default, menu.waits = error.shown
    except (UnknownStepError, ScriptError) as error:
        menu.unknown = str(error)
    menu.prefix = state.variables.get("prefix", "")
    return menu


class _Run:
    """Runs scripts on a state of GRUB."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._steps = 0
        self._loops = 0  # that `break` can leave

    # --- files ---------------------------------------------------------------------------------

    def default_config(self) -> str:
        """Return the path of the file that GRUB takes where none is named."""
        return f"{self.state.variables.get('prefix', '')}/grub.cfg"

    def show_named(self, path: str, who: str) -> bool:
        """Do what `show` does with a file by its path; False and a failure if there is none."""
        found = self.state.file(path)
        if found is None:
            self.state.menu.failures.append(f"{who} {path[:120]}, which is not there")
            return False
        self.show(found)
        return True

    def show(self, config: File) -> None:
        """Run a file in a menu of its own and show that; come back only if there is none."""
        state = self.state
        if state.frame.in_entry:
            raise _MenuShownError(_Shown())  # entries that are chosen by hand are not gone into
        folder = config.path.rpartition("/")[0]
        state.variables["config_directory"] = f"({config.volume}){folder}"
        state.variables["config_file"] = f"({config.volume}){config.path}"
        with state.inside(choices=[], entry=Started()) as frame:
            self._source(config)
            if frame.choices:
                raise _MenuShownError(self._show())
            if frame.entry.kernel is not None:
                place = self._add(frame.entry.entry(config.name, "(commands)"))
                raise _MenuShownError(_Shown(place))

    def _source(self, config: File) -> None:
        """Run a file where its commands act as if they stood here."""
        name, menu = config.name, self.state.menu
        if len(menu.files) >= FILE_LIMIT:
            raise UnknownStepError(f"more than {FILE_LIMIT} configuration files")
        menu.files.append(name)
        with self.state.inside(path=name):
            try:
                self.run(parse(config.text()))
            except UnfinishedError as error:
                if not isinstance(config, BuiltIn) and config.size > TEXT_LIMIT:
                    why = f"{name}: only the first {TEXT_LIMIT} bytes were read"
                    raise ScriptError(why) from None
                menu.failures.append(f"{name}: {error}, so that GRUB leaves it out")
                self.run(error.before)
            except ScriptError as error:
                raise ScriptError(f"{name}: {error}") from None
            except _ReturnedError:
                pass

    # --- menus ---------------------------------------------------------------------------------

    def _show(self) -> _Shown:
        """Resolve the entries of the menu that was made; return what showing it comes to."""
        state, menu = self.state, self.state.menu
        choices = state.frame.choices
        wanted = state.variables.get("default", "") or "0"
        if SET_AT_BOOT in wanted:
            raise UnknownStepError("the default entry is one that only the machine knows")
        default, shown = _chosen(choices, wanted), _Shown()
        first: list[int] = []  # where the entries of each choice begin
        for choice in choices:
            first.append(len(menu.entries))
            if choice is default:
                shown = self._resolve(choice, _first_of(wanted)[1])
                waits = self._asks_for_a_password(choice) or shown.waits or self._waits()
                shown = shown._replace(waits=waits)
            else:
                self._resolve(choice, "0")
        return shown._replace(default=self._fallback(shown.default, first))

    def _waits(self) -> str | None:
        timeout = self.state.variables.get("timeout", "")
        return f"{self.state.menu.files[-1]} sets timeout={timeout}" if timeout[:1] == "-" else None

    def _asks_for_a_password(self, choice: Choice) -> str | None:
        if not choice.restricted or not self.state.variables.get("superusers"):
            return None
        return f"{choice.path} asks for a password before “{choice.title[:60]}”"

    def _fallback(self, default: int | None, first: list[int]) -> int | None:
        """Return the default entry, or that of `fallback` which starts where its kernel is gone.

        An initramfs that is gone ends nothing: GRUB starts the kernel without it.
        """
        choices, entries = self.state.frame.choices, self.state.menu.entries
        if default is None or not _stops(entries[default]):
            return default
        for name in self.state.variables.get("fallback", "").split():
            if SET_AT_BOOT in name:
                raise UnknownStepError("the entry to fall back to is one only the machine knows")
            choice = _chosen(choices, name, exactly=True)
            place = first[choices.index(choice)] if choice is not None else len(entries)
            if place < len(entries) and not _stops(entries[place]):
                return place
        return default

    def _resolve(self, choice: Choice, rest: str) -> _Shown:
        """Run an entry, or those of a submenu; return where the one of `rest` lies in the menu."""
        if len(self.state.menu.entries) >= ENTRY_LIMIT:
            return _Shown()
        with self.state.scope(), self.state.parameters(choice.parameters):
            if choice.statement.kind == "submenu":
                return self._submenu(choice, rest)
            entry = self._entry(choice)
            return _Shown(self._add(self._second_try(choice, entry) or entry))

    def _submenu(self, choice: Choice, rest: str) -> _Shown:
        with self.state.inside(path=choice.path, choices=[]) as frame:
            try:
                self.run(choice.statement.body)
            except _MenuShownError as error:
                return error.shown
            except (UnknownStepError, ScriptError) as error:
                return _Shown(self._add(Started().entry(choice.path, choice.title, str(error))))
            default = _chosen(frame.choices, rest or "0")
            shown = _Shown()
            for one in frame.choices:
                if one is default:
                    shown = self._resolve(one, _first_of(rest)[1])
                else:
                    self._resolve(one, "0")
            return shown

    def _entry(self, choice: Choice) -> BootEntry:
        inside = self.state.inside(path=choice.path, entry=Started(), in_entry=True)
        with inside as frame, self._outside_loops():
            unknown = None
            try:
                if choice.bls is not None:
                    frame.entry = commands.from_bls(self.state, choice.bls)
                else:
                    self.run(choice.statement.body)
            except _ReturnedError:
                pass
            except (_MenuShownError, UnknownStepError, ScriptError) as error:
                unknown = str(error)
            return frame.entry.entry(choice.path, choice.title, unknown)

    def _second_try(self, choice: Choice, first: BootEntry) -> BootEntry | None:
        """Return what an entry of Ubuntu starts where its first try, without initramfs, panicked.

        Its function `initrdfail` notes the try in grubenv, and the kernel starts again at once
        (`panic=-1`), then with an initramfs. None where no other try is made, or none that works.
        """
        state = self.state
        noted = "initrdfail" in state.functions and state.variables.get("have_grubenv")
        if first.initrds or not noted or not state.variables.get("partuuid"):
            return None
        with state.scope():
            state.set("initrdfail", "1")
            second = self._entry(choice)
        works = second.initrds and not second.broken and not second.unknown
        return second if works else None

    def _add(self, entry: BootEntry) -> int:
        """Put an entry into the menu; return its place there."""
        entries = self.state.menu.entries
        entries.append(entry)
        return len(entries) - 1

    # --- statements ----------------------------------------------------------------------------

    def run(self, statements: Iterable[Statement]) -> bool | None:
        """Run statements; return how the last one ended, None where that is not known."""
        result: bool | None = True
        for statement in statements:
            self._steps += 1
            if self._steps > STEP_LIMIT:
                raise UnknownStepError("the script has more steps than are evaluated")
            result = self._one(statement)
        return result

    def _one(self, statement: Statement) -> bool | None:
        state = self.state
        if statement.kind == "command":
            return self._command(statement)
        if statement.kind == "if":
            return self._if(statement)
        if statement.kind == "function":
            name = state.text(statement.words[0]) if statement.words else ""
            state.functions[name] = statement
        elif statement.kind in ("menuentry", "submenu"):
            self._choice(statement)
        elif statement.kind in ("while", "until"):
            self._while(statement)
        elif statement.words or effects.decide(statement.body):
            self._loop(statement)
        return True

    def _if(self, statement: Statement) -> bool | None:
        for condition, body in statement.arms:
            met = self.run(condition) if condition else True
            if met is None:
                if any(effects.decide(arm) for _, arm in statement.arms):
                    raise self._unknown(statement, "a condition that is not supported")
                return None
            if met:
                return self.run(body)
        return True

    def _loop(self, statement: Statement) -> None:
        words = self.state.expanded(statement.words)
        if len(words) >= 2 and words[1] == "in":
            for value in words[2:]:
                self.state.set(words[0], value)
                if self._leaves(statement.body):
                    break
        elif not words:
            self.run(statement.body)  # a block in braces
        elif effects.decide(statement.body):
            raise self._unknown(statement, "a loop is not evaluated")

    def _while(self, statement: Statement) -> None:
        """Run a loop until its condition ends it; one without an end takes all the steps."""
        ((condition, body),) = statement.arms
        while True:
            self._steps += 1
            met = self.run(condition)
            if met is None and effects.decide(body):
                raise self._unknown(statement, "a loop until what only the machine knows")
            if met is None or met is (statement.kind == "until") or self._leaves(body):
                return

    @contextlib.contextmanager
    def _outside_loops(self) -> Iterator[None]:
        """Run what `break` cannot leave: a function, an entry."""
        loops, self._loops = self._loops, 0
        try:
            yield
        finally:
            self._loops = loops

    def _leaves(self, body: tuple[Statement, ...]) -> bool:
        """Run the body of a loop once; return whether the loop ends by that."""
        self._loops += 1
        try:
            self.run(body)
        except _LeftError as error:
            if error.loops > 1:
                raise _LeftError(error.loops - 1, again=error.again) from None
            return not error.again
        finally:
            self._loops -= 1
        return False

    def _choice(self, statement: Statement) -> None:
        words = self.state.expanded(statement.words)
        title = words[0] if words else ""
        ids = [words[at + 1] for at, word in enumerate(words[:-1]) if word == "--id"]
        ids += [word.partition("=")[2] for word in words if word.startswith("--id=")]
        plain = [
            word
            for before, word in zip(["", *words], words, strict=False)
            if not word.startswith("--") and before not in _ENTRY_OPTIONS
        ]
        # Distributions write $menuentry_id_option, which is --id or nothing.
        restricted = "--unrestricted" not in words
        path = self.state.frame.path
        choice = Choice(statement, path, title, tuple(ids), None, tuple(plain), restricted)
        self.state.frame.choices.append(choice)

    def _command(self, statement: Statement) -> bool | None:
        """Run a command; return how it ended, None where only the machine knows."""
        state = self.state
        words = state.expanded(statement.words)
        if not words:
            return True
        name, arguments = words[0], words[1:]
        if any(SET_AT_BOOT in word for word in words) and name not in ("set", "export"):
            if name in ("[", "test", "!"):
                return None
            if effects.is_decisive(words):
                raise self._unknown(statement, f"{name} takes what only the machine knows")
        if name == "!":
            inner = self._command(statement._replace(words=statement.words[1:]))
            return None if inner is None else not inner
        if name in state.functions:
            return self._function(name, arguments)
        if name in ("[", "test"):
            return holds(state, [word for word in arguments if word != "]"])
        if "=" in name and name.partition("=")[0].isidentifier():
            arguments, name = words, "set"
        return self._built_in(name, arguments, statement)

    def _built_in(self, name: str, arguments: list[str], statement: Statement) -> bool | None:
        """Run a command of GRUB's own; one that changes nothing that counts succeeds."""
        if name in _RUNS:
            return _RUNS[name](self, arguments, statement)
        if name in _COMMANDS:
            return _COMMANDS[name](self.state, arguments, statement)
        if name not in effects.ASKS_THE_MACHINE:
            return True
        for variable in effects.variables_of(arguments):
            self.state.set(variable, SET_AT_BOOT)
        return None

    def _function(self, name: str, arguments: list[str]) -> bool | None:
        with self.state.parameters(arguments), self._outside_loops():
            try:
                return self.run(self.state.functions[name].body)
            except _ReturnedError:
                return True

    def _at(self, statement: Statement) -> str:
        return f"{self.state.frame.path} line {statement.line}"

    def _unknown(self, statement: Statement, why: str) -> UnknownStepError:
        return UnknownStepError(f"{self._at(statement)}: {why}")

    # --- commands that run scripts -------------------------------------------------------------

    def _configfile_command(self, arguments: list[str], statement: Statement) -> bool:
        path = arguments[0] if arguments else self.default_config()
        return self.show_named(path, f"{self._at(statement)} goes on with")

    def _source_command(self, arguments: list[str], _: Statement) -> bool:
        found = self.state.file(arguments[0]) if arguments else None
        if found is not None:
            self._source(found)
        return found is not None

    def _leave_command(self, arguments: list[str], statement: Statement) -> bool:
        count = int(arguments[0]) if arguments and arguments[0].isdigit() else 1
        again = self.state.text(statement.words[0]) == "continue"
        if self._loops:
            raise _LeftError(min(max(count, 1), self._loops), again=again)
        return True

    def _return_command(self, _: list[str], __: Statement) -> bool:
        raise _ReturnedError


def _first_of(wanted: str) -> tuple[str, str]:
    """Return the entry of the first menu that a default names, and what it names in that one.

    A `>` parts the two, and `>>` is one in a title (`menuentry_eq` in GRUB's normal/menu.c).
    """
    found = re.match(r"((?:[^>]|>>)*)(?:>(.*))?", wanted, re.DOTALL)
    name, rest = found.groups() if found is not None else (wanted, None)
    return name.replace(">>", ">"), rest or ""


def _chosen(choices: list[Choice], wanted: str, *, exactly: bool = False) -> Choice | None:
    """Return the entry of a number, title or id; the first if there is none, as GRUB does."""
    name, _ = _first_of(wanted)
    if name.isdigit() and int(name) < len(choices):
        return choices[int(name)]
    for choice in choices:
        if name in (choice.title, *choice.ids) and not name.isdigit():
            return choice
    return choices[0] if choices and not exactly else None


def _stops(entry: BootEntry) -> bool:
    """Return whether GRUB cannot load the kernel of an entry."""
    return entry.broken is not None and entry.gone not in entry.initrds


_RUNS: dict[str, Callable[[_Run, list[str], Statement], bool]] = {
    **dict.fromkeys(("configfile", "normal"), _Run._configfile_command),
    **dict.fromkeys(("source", "."), _Run._source_command),
    **dict.fromkeys(("break", "continue"), _Run._leave_command),
    "return": _Run._return_command,
}
_COMMANDS: dict[str, Callable[[State, list[str], Statement], bool | None]] = {
    "set": commands.set_variable, "export": commands.set_variable, "unset": commands.unset,
    "load_env": commands.load_env, "shift": commands.shift, "regexp": commands.regexp,
    "search": commands.search,
    "search.fs_uuid": commands.search_by, "search.fs_label": commands.search_by,
    "search.file": commands.search_by, "blscfg": commands.blscfg, "false": lambda *_: False,
    **dict.fromkeys(commands.LINUX, commands.linux),
    **dict.fromkeys(commands.INITRD, commands.initrd),
    **dict.fromkeys(commands.OTHER, commands.foreign),
}  # fmt: skip
