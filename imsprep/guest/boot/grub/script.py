"""GRUB 2 followed: its script is run as far as it decides which entry starts, and from where.

Variables, tests of files, `search`, `configfile`, `source`, grubenv and Boot Loader Specification
entries (`blscfg`) are followed on the disk's own volumes. What only a running machine knows makes
the menu *unsure*: it is then unknown, not wrong. Source: GRUB manual 2.12.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

from imsprep.guest.boot.devices import TEXT_LIMIT, Devices, File, UnknownStepError
from imsprep.guest.boot.grub import commands
from imsprep.guest.boot.grub.conditions import holds
from imsprep.guest.boot.grub.state import SET_AT_BOOT, Choice, Menu, Started, State
from imsprep.guest.boot.grub.syntax import ScriptError, Statement, UnfinishedError, parse
from imsprep.guest.boot.values import BootEntry

STEP_LIMIT = 20_000  # commands that are run
FILE_LIMIT = 24  # configuration files that are gone through
ENTRY_LIMIT = 200

# Commands that decide what starts: where it is not known whether they run, the menu is unsure.
_DECIDES = {*commands.LINUX, *commands.INITRD, *commands.OTHER, "set", "search", "configfile",
            "source", "normal", "blscfg", "load_env", "eval", "search.fs_uuid", "search.fs_label",
            "search.file"}  # fmt: skip
# Options of `menuentry` that take the next word for their value.
_ENTRY_OPTIONS = ("--class", "--users", "--hotkey", "--id", "--source")
_NOT_DECISIVE = ("timeout", "gfx", "color", "theme", "font", "lang", "locale", "pager", "menu_",
                 "superusers", "vt_", "linux_gfx", "terminal", "debug", "recordfail")  # fmt: skip


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


class _MenuShownError(Exception):
    """`configfile` showed its menu and does not return."""


class _EndedError(Exception):
    """`return`, or the commands after a menu entry's last one."""


def follow(
    devices: Devices, config: File, firmware: str, *, root: str | None = None, prefix: str = ""
) -> Menu:
    """Run a configuration file as GRUB does; `root` and `prefix` are those built into it."""
    device = root or config.volume
    folder = prefix or config.path.rpartition("/")[0]
    run = _Run(State(devices, firmware, device))
    run.state.variables |= {"prefix": f"({device}){folder}",
                            "cmdpath": f"({config.volume}){folder}"}  # fmt: skip
    menu = run.state.menu
    try:
        run.configfile(config)
        if isinstance(config, BuiltIn):
            run.configfile_at_prefix(config)
    except _MenuShownError:
        pass
    except (UnknownStepError, ScriptError) as error:
        menu.unknown = str(error)
    menu.prefix = run.state.variables.get("prefix", "")
    return menu


class _Run:
    """Runs scripts on a state of GRUB."""

    def __init__(self, state: State) -> None:
        self.state = state
        self._steps = 0

    def configfile_at_prefix(self, built_in: BuiltIn) -> None:
        """Go on as GRUB does after the script that is built into it."""
        self.state.path = built_in.name
        self._configfile([], Statement("command", 0))

    # --- files and menus -----------------------------------------------------------------------

    def configfile(self, config: File) -> None:
        """Run a file in a menu of its own and show it; what it shows is the result."""
        state = self.state
        outer, state.choices, started = state.choices, [], state.entry
        state.entry = Started()
        folder = config.path.rpartition("/")[0]
        state.variables["config_directory"] = f"({config.volume}){folder}"
        state.variables["config_file"] = f"({config.volume}){config.path}"
        self._source(config)
        if state.choices:
            self._show()
            raise _MenuShownError
        if state.entry.kernel is not None:
            state.menu.entries.append(state.entry.entry(config.name, "(commands)"))
            state.menu.default = len(state.menu.entries) - 1
            raise _MenuShownError
        state.choices, state.entry = outer, started

    def _source(self, config: File) -> None:
        name = config.name
        state = self.state
        if len(state.menu.files) >= FILE_LIMIT:
            raise UnknownStepError(f"more than {FILE_LIMIT} configuration files")
        state.menu.files.append(name)
        outer, state.path = state.path, name
        try:
            self.run(parse(config.text()))
        except UnfinishedError as error:
            if not isinstance(config, BuiltIn) and config.size > TEXT_LIMIT:
                raise ScriptError(f"{name}: only the first {TEXT_LIMIT} bytes were read") from None
            state.menu.failures.append(f"{name}: {error}, so that GRUB leaves it out")
            self.run(error.before)
        except ScriptError as error:
            raise ScriptError(f"{name}: {error}") from None
        except _EndedError:
            pass
        state.path = outer

    def _show(self) -> None:
        """Resolve the entries of the menu and choose the default one."""
        state, menu = self.state, self.state.menu
        wanted = state.variables.get("default", "") or "0"
        if SET_AT_BOOT in wanted:
            raise UnknownStepError("the default entry is one that only the machine knows")
        if state.variables.get("timeout", "").startswith("-"):
            menu.waits = f"{menu.files[-1]} sets timeout={state.variables['timeout']}"
        default = _chosen(state.choices, wanted)
        password = bool(state.variables.get("superusers"))
        at: dict[int, int] = {}  # where the entries of a choice begin, by its own place
        for number, choice in enumerate(state.choices):
            if choice is default and choice.restricted and password:
                menu.waits = f"{choice.path} asks for a password before “{choice.title[:60]}”"
            at[number] = len(menu.entries)
            place = self._resolve(choice, wanted.partition(">")[2] if choice is default else "0")
            if choice is default:
                menu.default = place
        self._fall_back(at)

    def _fall_back(self, at: dict[int, int]) -> None:
        """Go on to the entries of `fallback` where the kernel of the default one is gone.

        An initramfs that is gone ends nothing: GRUB starts the kernel without it.
        """
        state, menu = self.state, self.state.menu
        if menu.default is None or not _stops(menu.entries[menu.default]):
            return
        for name in state.variables.get("fallback", "").split():
            if SET_AT_BOOT in name:
                raise UnknownStepError("the entry to fall back to is one only the machine knows")
            choice = _chosen(state.choices, name, exactly=True)
            place = at[state.choices.index(choice)] if choice is not None else len(menu.entries)
            if place < len(menu.entries) and not _stops(menu.entries[place]):
                menu.default = place
                return

    def _resolve(self, choice: Choice, rest: str) -> int | None:
        """Run an entry, or those of a submenu; return where the one of `rest` lies in the menu."""
        with self.state.scope():
            self.state.positional(choice.parameters)
            if len(self.state.menu.entries) >= ENTRY_LIMIT:
                return None
            if choice.statement.kind == "submenu":
                return self._submenu(choice, rest)
            return self._entry(choice)

    def _submenu(self, choice: Choice, rest: str) -> int | None:
        state = self.state
        outer, state.choices = state.choices, []
        path, state.path = state.path, choice.path
        self.run(choice.statement.body)
        inner = state.choices
        chosen = _chosen(inner, rest or "0")
        place = None
        for one in inner:
            found = self._resolve(one, rest.partition(">")[2] if one is chosen else "0")
            place = found if one is chosen else place
        state.choices, state.path = outer, path
        return place

    def _entry(self, choice: Choice) -> int:
        state = self.state
        state.entry = Started()
        path, state.path = state.path, choice.path
        unknown = None
        try:
            if choice.bls is not None:
                state.entry = commands.from_bls(state, choice.bls)
            else:
                self.run(choice.statement.body)
        except _EndedError:
            pass
        except _MenuShownError:
            unknown = "it shows another menu"
        except (UnknownStepError, ScriptError) as error:
            unknown = str(error)
        state.path = path
        state.menu.entries.append(state.entry.entry(choice.path, choice.title, unknown))
        return len(state.menu.entries) - 1

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
        elif statement.words or _decides(statement.body):
            self._loop(statement)
        return True

    def _if(self, statement: Statement) -> bool | None:
        for condition, body in statement.arms:
            holds = self.run(condition) if condition else True
            if holds is None:
                if any(_decides(arm) for _, arm in statement.arms):
                    raise UnknownStepError(
                        f"{self.state.path} line {statement.line}: a condition that is not "
                        "supported"
                    )
                return None
            if holds:
                return self.run(body)
        return True

    def _loop(self, statement: Statement) -> None:
        words = self.state.expanded(statement.words)
        if len(words) >= 2 and words[1] == "in":
            for value in words[2:]:
                self.state.set(words[0], value)
                self.run(statement.body)
        elif _decides(statement.body):
            raise UnknownStepError(
                f"{self.state.path} line {statement.line}: a loop is not evaluated"
            )

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
        path = self.state.path
        choice = Choice(statement, path, title, tuple(ids), None, tuple(plain), restricted)
        self.state.choices.append(choice)

    def _command(self, statement: Statement) -> bool | None:
        state = self.state
        words = state.expanded(statement.words)
        if not words:
            return True
        name, arguments = words[0], words[1:]
        if SET_AT_BOOT in " ".join(words) and name not in ("set", "export"):
            if name in ("[", "test", "!"):
                return None
            if name in _DECIDES and not _harmless(words):
                raise UnknownStepError(
                    f"{state.path} line {statement.line}: {name} takes what only the machine knows"
                )
        if name == "!":
            inner = self._command(statement._replace(words=statement.words[1:]))
            return None if inner is None else not inner
        if name in state.functions:
            return self._function(name, arguments)
        if name in ("[", "test"):
            return holds(state, [word for word in arguments if word != "]"])
        if "=" in name and name.partition("=")[0].isidentifier():
            arguments, name = words, "set"
        if name in _RUNS:
            return _RUNS[name](self, arguments, statement)
        if name in _COMMANDS:
            return _COMMANDS[name](state, arguments, statement)
        if name not in _RUNTIME:
            return True
        for variable in _variables_of(arguments):
            state.set(variable, SET_AT_BOOT)
        return None

    def _function(self, name: str, arguments: list[str]) -> bool | None:
        outer = [self.state.variables.get(str(at), "") for at in range(1, 10)]
        self.state.positional(arguments)
        try:
            return self.run(self.state.functions[name].body)
        except _EndedError:
            return True
        finally:
            self.state.positional(outer)

    # --- commands that run scripts -------------------------------------------------------------

    def _configfile(self, arguments: list[str], statement: Statement) -> bool:
        state = self.state
        path = arguments[0] if arguments else f"{state.variables.get('prefix', '')}/grub.cfg"
        found = state.file(path)
        if found is None:
            line = f" line {statement.line}" if statement.line else ""
            state.menu.failures.append(
                f"{state.path}{line} goes on with {path[:120]}, which is not there"
            )
            return False
        self.configfile(found)
        return True

    def _source_command(self, arguments: list[str], _: Statement) -> bool:
        found = self.state.file(arguments[0]) if arguments else None
        if found is None:
            return False
        self._source(found)
        return True

    def _return(self, _: list[str], __: Statement) -> bool:
        raise _EndedError


def _chosen(choices: list[Choice], wanted: str, *, exactly: bool = False) -> Choice | None:
    """Return the entry of a number, title or id; the first if there is none, as GRUB does."""
    name = wanted.partition(">")[0]
    if name.isdigit() and int(name) < len(choices):
        return choices[int(name)]
    for choice in choices:
        if name in (choice.title, *choice.ids) and not name.isdigit():
            return choice
    return choices[0] if choices and not exactly else None


def _stops(entry: BootEntry) -> bool:
    """Return whether GRUB cannot load the kernel of an entry."""
    return entry.broken is not None and entry.gone not in entry.initrds


def _decides(statements: Iterable[Statement]) -> bool:
    """Return whether statements change what starts."""
    for statement in statements:
        if statement.kind in ("menuentry", "submenu"):
            return True
        bodies = [statement.body, *(body for arm in statement.arms for body in arm)]
        if any(_decides(body) for body in bodies):
            return True
        words = ["".join(p.text for p in word) for word in statement.words]
        if words and words[0] in _DECIDES and not _harmless(words):
            return True
    return False


def _harmless(words: list[str]) -> bool:
    """Return whether a command sets nothing that decides what starts."""
    return bool(words[1:2]) and words[1].startswith(_NOT_DECISIVE)


def _variables_of(arguments: list[str]) -> Iterator[str]:
    """Yield the variables that a command sets by its options, or as the last of its words."""
    options = ("--set", "-s", "-d", "-u", "-b")
    for before, word in zip(["", *arguments], arguments, strict=False):
        if word.startswith("--set="):
            word = word.partition("=")[2]
        elif before not in options:
            continue
        yield word.rpartition(":")[2]
    if len(arguments) == 1 and arguments[0].isidentifier():
        yield arguments[0]


# Commands whose result only a running machine knows.
_RUNTIME = ("sleep", "keystatus", "cmostest", "background_image", "read", "regexp", "probe",
            "smbios", "cpuid", "hashsum", "cmp", "getenv", "efivar", "gptprio.next", "gptpriority",
            "extract_entries", "lsefi", "inl", "rdmsr", "date")  # fmt: skip
_RUNS: dict[str, Callable[[_Run, list[str], Statement], bool]] = {
    "configfile": _Run._configfile, "normal": _Run._configfile, "source": _Run._source_command,
    ".": _Run._source_command, "return": _Run._return,
}  # fmt: skip
_COMMANDS: dict[str, Callable[[State, list[str], Statement], bool]] = {
    "set": commands.set_variable, "export": commands.set_variable, "unset": commands.unset,
    "load_env": commands.load_env, "search": commands.search,
    "search.fs_uuid": commands.search_by, "search.fs_label": commands.search_by,
    "search.file": commands.search_by, "blscfg": commands.blscfg, "false": lambda *_: False,
    **dict.fromkeys(commands.LINUX, commands.linux),
    **dict.fromkeys(commands.INITRD, commands.initrd),
    **dict.fromkeys(commands.OTHER, commands.foreign),
}  # fmt: skip
