"""GRUB 2 followed: its script is run as far as it decides which entry starts, and from where.

Variables, tests of files, `search`, `configfile`, `source`, grubenv and Boot Loader Specification
entries (`blscfg`) are followed on the disk's own volumes. What only a running machine knows makes
the menu *unsure*: it is then unknown, not wrong. Sources: GRUB manual 2.12; for `blscfg` the
distributions' documentation of Fedora ("BootLoaderSpecByDefault").
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field

from imsprep.guest.boot.bls import Bls, read_entries
from imsprep.guest.boot.devices import Devices, File, UnknownStepError
from imsprep.guest.boot.grub_syntax import ScriptError, Statement, Word, parse
from imsprep.guest.boot.values import UEFI, BootEntry
from imsprep.guest.model import CLOSED
from imsprep.image.volumes.partitions import BIOS_BOOT

# Where installers put the root of a btrfs, as seen from the top of all subvolumes.
SUBVOLUMES = ("/@rootfs", "/@", "/root", "/@/.snapshots/1/snapshot")
STEP_LIMIT = 20_000  # commands that are run
FILE_LIMIT = 24  # configuration files that are gone through
ENTRY_LIMIT = 200

_LINUX = ("linux", "linux16", "linuxefi", "linux_rh")
_INITRD = ("initrd", "initrd16", "initrdefi", "initrd_rh")
_OTHER = ("chainloader", "multiboot", "multiboot2", "xen_hypervisor", "ntldr", "appleloader",
          "knetbsd", "kfreebsd", "kopenbsd", "openbsd", "freebsd")  # fmt: skip
# Commands that decide what starts: where it is not known whether they run, the menu is unsure.
_DECIDES = {*_LINUX, *_INITRD, *_OTHER, "set", "search", "configfile", "source", "normal", "blscfg",
            "load_env", "eval", "search.fs_uuid", "search.fs_label", "search.file"}  # fmt: skip
# Options of `menuentry` that take the next word for their value.
_ENTRY_OPTIONS = ("--class", "--users", "--hotkey", "--id", "--source")
# Options of `search` that take the next word for their value unless it begins with a dash.
_WITH_VALUE = ("--set", "-s", "--hint", "-h", "--hint-bios", "--hint-efi", "--hint-baremetal",
               "--hint-ieee1275", "--hint-arc")  # fmt: skip
_NOT_DECISIVE = ("timeout", "gfx", "color", "theme", "font", "lang", "locale", "pager", "menu_",
                 "superusers", "vt_", "linux_gfx", "terminal", "debug", "recordfail")  # fmt: skip


@dataclass
class Menu:
    """What a script came to: entries, and the one that starts by default."""

    entries: list[BootEntry] = field(default_factory=list)
    default: int | None = None
    files: list[str] = field(default_factory=list)  # that were gone through
    failures: list[str] = field(default_factory=list)  # searches and files that lead nowhere
    waits: str | None = None  # why it does not start an entry by itself
    unknown: str | None = None
    prefix: str = ""  # where GRUB looks for its modules in the end: `(DEVICE)/FOLDER`


@dataclass
class _Choice:
    """An entry or submenu as it stands in the script, not run yet."""

    statement: Statement
    path: str
    title: str
    ids: tuple[str, ...]
    bls: Bls | None = None
    parameters: tuple[str, ...] = ()  # $1, which is the title, and those behind it
    restricted: bool = False  # to users with a password, where there are any


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
    run = _Run(devices, firmware)
    device = root or config.volume
    folder = prefix or config.path.rpartition("/")[0]
    run.variables |= {"root": device, "prefix": f"({device}){folder}",
                      "cmdpath": f"({config.volume}){folder}"}  # fmt: skip
    try:
        run.configfile(config)
        if isinstance(config, BuiltIn):
            run.configfile_at_prefix(config)
    except _MenuShownError:
        pass
    except (UnknownStepError, ScriptError) as error:
        run.menu.unknown = str(error)
    run.menu.prefix = run.variables.get("prefix", "")
    return run.menu


class _Run:
    """The state of GRUB: its variables, functions and the menu that it is making."""

    def __init__(self, devices: Devices, firmware: str) -> None:
        self.devices, self.menu = devices, Menu()
        platform, target = ("efi", "x86_64") if firmware == UEFI else ("pc", "i386")
        self.variables: dict[str, str] = {
            "grub_platform": platform, "grub_cpu": target, "feature_menuentry_id": "y",
            "feature_platform_search_hint": "y", "feature_default_font_path": "y",
            "feature_all_video_module": "y", "feature_chainloader_bpb": "y",
            "feature_timeout_style": "y", "feature_menuentry_options": "y",
            "feature_nativedisk_cmd": "y", "feature_200_final": "y", "feature_ntldr": "y",
        }  # fmt: skip
        self.functions: dict[str, Statement] = {}
        self.choices: list[_Choice] = []
        self._steps = 0
        self._path = ""
        self._entry: _Started | None = None

    def configfile_at_prefix(self, built_in: BuiltIn) -> None:
        """Go on as GRUB does after the script that is built into it."""
        self._path = built_in.name
        self._configfile([], Statement("command", 0))

    # --- files and menus -----------------------------------------------------------------------

    def configfile(self, config: File) -> None:
        """Run a file in a menu of its own and show it; what it shows is the result."""
        outer, self.choices, started = self.choices, [], self._entry
        self._entry = _Started()
        self.variables["config_directory"] = f"({config.volume}){config.path.rpartition('/')[0]}"
        self.variables["config_file"] = f"({config.volume}){config.path}"
        self._source(config)
        if self.choices:
            self._show()
            raise _MenuShownError
        if self._entry.kernel is not None:
            self.menu.entries.append(self._entry.entry(self, config.name, "(commands)"))
            self.menu.default = len(self.menu.entries) - 1
            raise _MenuShownError
        self.choices, self._entry = outer, started

    def _source(self, config: File) -> None:
        name = config.name
        if len(self.menu.files) >= FILE_LIMIT:
            raise UnknownStepError(f"more than {FILE_LIMIT} configuration files")
        self.menu.files.append(name)
        outer, self._path = self._path, name
        try:
            self.run(parse(config.text()))
        except ScriptError as error:
            raise ScriptError(f"{name}: {error}") from None
        except _EndedError:
            pass
        self._path = outer

    def _show(self) -> None:
        """Resolve the entries of the menu and choose the default one."""
        wanted = self.variables.get("default", "") or "0"
        if _SET_AT_BOOT in wanted:
            raise UnknownStepError("the default entry is one that only the machine knows")
        if self.variables.get("timeout", "").startswith("-"):
            self.menu.waits = f"{self.menu.files[-1]} sets timeout={self.variables['timeout']}"
        saved = dict(self.variables)
        flat: list[tuple[int, _Choice]] = []
        default = self._chosen(self.choices, wanted)
        for choice in self.choices:
            self.variables = dict(saved)
            self._positional(choice.parameters)
            if choice is default and choice.restricted and saved.get("superusers"):
                self.menu.waits = f"{choice.path} asks for a password before “{choice.title[:60]}”"
            before = len(self.menu.entries)
            self._resolve(choice, wanted.partition(">")[2] if choice is default else "0")
            if choice is default and len(self.menu.entries) > before:
                self.menu.default = self.menu.default if self._inner else before
            flat.append((before, choice))
        self.variables = saved
        self._fall_back(flat)

    def _fall_back(self, flat: list[tuple[int, _Choice]]) -> None:
        """Go on to the entries of `fallback` where the kernel of the default one is gone.

        An initramfs that is gone ends nothing: GRUB starts the kernel without it.
        """
        at = self.menu.default
        if at is None or not _stops(self.menu.entries[at]):
            return
        for wanted in self.variables.get("fallback", "").split():
            if _SET_AT_BOOT in wanted:
                raise UnknownStepError("the entry to fall back to is one only the machine knows")
            numbers = [number for number, choice in flat if self._is(choice, wanted)]
            if wanted.isdigit():
                numbers = [flat[int(wanted)][0]] if int(wanted) < len(flat) else []
            if numbers and not _stops(self.menu.entries[numbers[0]]):
                self.menu.default = numbers[0]
                return

    @staticmethod
    def _is(choice: _Choice, wanted: str) -> bool:
        return wanted in (choice.title, *choice.ids)

    _inner = False

    def _resolve(self, choice: _Choice, rest: str) -> None:
        self._inner = False
        if len(self.menu.entries) >= ENTRY_LIMIT:
            return
        if choice.statement.kind == "submenu":
            outer, self.choices = self.choices, []
            path, self._path = self._path, choice.path
            self.run(choice.statement.body)
            inner = self.choices
            chosen = self._chosen(inner, rest or "0")
            place = None
            saved = dict(self.variables)
            for one in inner:
                self.variables = dict(saved)
                self._positional(one.parameters)
                before = len(self.menu.entries)
                self._resolve(one, rest.partition(">")[2] if one is chosen else "0")
                if one is chosen:
                    place = self.menu.default if self._inner else before
            self.menu.default = place if place is not None else self.menu.default
            self.choices, self._path, self._inner = outer, path, place is not None
            return
        self._entry = _Started()
        path, self._path = self._path, choice.path
        unknown = None
        try:
            if choice.bls is not None:
                self._entry.from_bls(self, choice.bls)
            else:
                self.run(choice.statement.body)
        except _EndedError:
            pass
        except _MenuShownError:
            unknown = "it shows another menu"
        except (UnknownStepError, ScriptError) as error:
            unknown = str(error)
        self._path = path
        self.menu.entries.append(self._entry.entry(self, choice.path, choice.title, unknown))

    @staticmethod
    def _chosen(choices: list[_Choice], wanted: str) -> _Choice | None:
        first = wanted.partition(">")[0]
        if first.isdigit():
            return choices[int(first)] if int(first) < len(choices) else next(iter(choices), None)
        for choice in choices:
            if _Run._is(choice, first):
                return choice
        return choices[0] if choices else None  # as GRUB does, with a message

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
        if statement.kind == "command":
            return self._command(statement)
        if statement.kind == "if":
            return self._if(statement)
        if statement.kind == "function":
            self.functions[self.text(statement.words[0]) if statement.words else ""] = statement
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
                        f"{self._path} line {statement.line}: a condition that is not supported"
                    )
                return None
            if holds:
                return self.run(body)
        return True

    def _loop(self, statement: Statement) -> None:
        words = self.expanded(statement.words)
        if len(words) >= 2 and words[1] == "in":
            for value in words[2:]:
                self.variables[words[0]] = value
                self.run(statement.body)
        elif _decides(statement.body):
            raise UnknownStepError(f"{self._path} line {statement.line}: a loop is not evaluated")

    def _choice(self, statement: Statement) -> None:
        words = self.expanded(statement.words)
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
        choice = _Choice(statement, self._path, title, tuple(ids), None, tuple(plain), restricted)
        self.choices.append(choice)

    def _positional(self, parameters: Sequence[str]) -> None:
        """Set $1 and those behind it, $# and $@, as a function or an entry has them."""
        for name in [name for name in self.variables if name.isdigit()]:
            del self.variables[name]
        self.variables |= {str(at): value for at, value in enumerate(parameters, 1)}
        joined = " ".join(parameters)
        self.variables |= {"#": str(len(parameters)), "@": joined, "*": joined}

    def _command(self, statement: Statement) -> bool | None:
        words = self.expanded(statement.words)
        if not words:
            return True
        name, arguments = words[0], words[1:]
        if _SET_AT_BOOT in " ".join(words) and name not in ("set", "export"):
            if name in ("[", "test", "!"):
                return None
            if name in _DECIDES and not _harmless(words):
                raise UnknownStepError(
                    f"{self._path} line {statement.line}: {name} takes what only the machine knows"
                )
        if name == "!":
            inner = self._command(statement._replace(words=statement.words[1:]))
            return None if inner is None else not inner
        if name in self.functions:
            outer = [self.variables.get(str(at), "") for at in range(1, 10)]
            self._positional(arguments)
            try:
                return self.run(self.functions[name].body)
            except _EndedError:
                return True
            finally:
                self._positional(outer)
        if name in ("[", "test"):
            return self._test([word for word in arguments if word != "]"])
        if "=" in name and name.partition("=")[0].isidentifier():
            arguments, name = words, "set"
        action = _COMMANDS.get(name)
        if action is not None:
            return action(self, arguments, statement)
        if name not in _RUNTIME:
            return True
        for variable in _variables_of(arguments):
            self.variables[variable] = _SET_AT_BOOT
        return None

    # --- commands ------------------------------------------------------------------------------

    def _set(self, arguments: list[str], _: Statement) -> bool:
        for argument in arguments:
            key, equals, value = argument.partition("=")
            if equals:
                self.variables[key] = value
        return True

    def _unset(self, arguments: list[str], _: Statement) -> bool:
        for argument in arguments:
            self.variables.pop(argument, None)
        return True

    def _load_env(self, arguments: list[str], _: Statement) -> bool:
        path, names = f"{self.variables.get('prefix', '')}/grubenv", list[str]()
        rest = iter(arguments)
        for word in rest:
            if word in ("-f", "--file"):
                path = next(rest, "")
            elif word.startswith("--file="):
                path = word.partition("=")[2]
            elif not word.startswith("-"):
                names.append(word)
        found = self.file(path)
        for line in found.text().splitlines() if found is not None else ():
            key, equals, value = line.partition("=")
            if equals and not line.startswith("#") and (not names or key in names):
                self.variables[key] = value
        return found is not None

    def _search(self, arguments: list[str], statement: Statement) -> bool:
        by, variable, values = "", "root", list[str]()
        rest: Iterator[str] = iter(arguments)
        while (word := next(rest, None)) is not None:
            if word in ("--fs-uuid", "-u", "--label", "-l", "--file", "-f"):
                by = {"u": "uuid", "l": "label"}.get(word.strip("-").replace("fs-", "")[0], "file")
            elif word.startswith("--set="):
                variable = word.partition("=")[2] or "root"
            elif word in _WITH_VALUE:
                given = next(rest, "")
                if given.startswith("-"):  # the value may be left out
                    rest = itertools.chain([given], rest)
                elif word in ("--set", "-s"):
                    variable = given or "root"
            elif not word.startswith("-"):
                values.append(word)
        return self._searched(by, values[0] if values else "", variable, statement)

    def _search_by(self, arguments: list[str], statement: Statement) -> bool:
        name = self.expanded(statement.words)[0]
        by = {"search.fs_uuid": "uuid", "search.fs_label": "label"}.get(name, "file")
        plain = [word for word in arguments if not word.startswith("-")]
        variable = plain[1] if len(plain) > 1 else "root"
        return self._searched(by, plain[0] if plain else "", variable, statement)

    def _searched(self, by: str, value: str, variable: str, statement: Statement) -> bool:
        found = self.devices.search(by, value)
        if found is not None:
            self.variables[variable] = found
            return True
        kind = {"uuid": "UUID", "label": "label"}.get(by, "file")
        self.menu.failures.append(
            f"{self._path} line {statement.line} searches {kind} {value[:80]}, which no volume of "
            "the image has"
        )
        return False

    def _configfile(self, arguments: list[str], statement: Statement) -> bool:
        path = arguments[0] if arguments else f"{self.variables.get('prefix', '')}/grub.cfg"
        found = self.file(path)
        if found is None:
            line = f" line {statement.line}" if statement.line else ""
            self.menu.failures.append(
                f"{self._path}{line} goes on with {path[:120]}, which is not there"
            )
            return False
        self.configfile(found)
        return True

    def _source_command(self, arguments: list[str], statement: Statement) -> bool:
        found = self.file(arguments[0]) if arguments else None
        if found is None:
            return False
        self._source(found)
        return True

    def _linux(self, arguments: list[str], statement: Statement) -> bool:
        entry = self._entry or _Started()
        self._entry = entry
        entry.line = statement.line
        if arguments:
            entry.kernel, entry.arguments = self._named(arguments[0]), arguments[1:]
        return True

    def _initrd(self, arguments: list[str], _: Statement) -> bool:
        entry = self._entry or _Started()
        entry.initrds += [self._named(path) for path in arguments if not path.startswith("-")]
        return True

    def _foreign(self, arguments: list[str], statement: Statement) -> bool:
        if self._entry is not None:
            name = self.expanded(statement.words)[0]
            self._entry.unknown = (
                f"it starts {' '.join([name, *arguments])[:100]}, not Linux itself"
            )
            self._entry.line = statement.line
        return True

    def _blscfg(self, _: list[str], statement: Statement) -> bool:
        devices = (self.variables.get("boot"), self.variables.get("root"))
        folders = (self.variables.get("blsdir", ""), "/loader/entries", "/boot/loader/entries")
        for device in dict.fromkeys(devices):
            for folder in filter(None, folders):
                entries = read_entries(self.devices, device, folder)
                if entries:
                    for entry in entries:
                        name = f"{entry.volume}:{entry.path}"
                        self.choices.append(
                            _Choice(statement, name, entry.title, (entry.id,), entry)
                        )
                    return True
        for device in filter(None, devices):
            self.devices.must_see(device)
        self.menu.failures.append(
            f"{self._path} line {statement.line}: blscfg finds no entry in /loader/entries"
        )
        return True

    def _return(self, _: list[str], __: Statement) -> bool:
        raise _EndedError

    # --- words, files, tests -------------------------------------------------------------------

    def text(self, word: Word) -> str:
        """Return a word with its variables, unsplit."""
        return "".join(self.variables.get(p.text, "") if p.variable else p.text for p in word)

    def expanded(self, words: Iterable[Word]) -> list[str]:
        """Return words with their variables; an unquoted variable is split at blanks."""
        found: list[str] = []
        for word in words:
            if len(word) == 1 and word[0].variable and not word[0].quoted:
                found += self.variables.get(word[0].text, "").split()
            else:
                found.append(self.text(word))
        return found

    def file(self, path: str) -> File | None:
        """Return the file or folder that GRUB means; None if there is none."""
        device, inside = self._split(path)
        if device is None:
            return None
        self.devices.must_see(device)
        return self.devices.find(device, inside)

    def _split(self, path: str) -> tuple[str | None, str]:
        device, inside = self.variables.get("root", ""), path
        if path.startswith("("):
            device, _, inside = path[1:].partition(")")
        return self.devices.named(device), inside or "/"

    def _named(self, path: str) -> str:
        """Return `VOLUME:PATH` of a file that an entry names; the path alone if it is nowhere."""
        device, inside = self._split(path)
        return locate(self.devices, device, inside) or inside

    def _test(self, words: list[str]) -> bool | None:
        for mark, join in (("-o", any), ("-a", all)):
            if mark in words:
                at = words.index(mark)
                parts = [self._test(words[:at]), self._test(words[at + 1 :])]
                return None if None in parts else join(map(bool, parts))
        if words[:1] == ["!"]:
            inner = self._test(words[1:])
            return None if inner is None else not inner
        if len(words) == 2 and words[0] in ("-e", "-f", "-d", "-s"):
            return self.file(words[1]) is not None
        if len(words) == 2 and words[0] in ("-n", "-z"):
            return bool(words[1]) is (words[0] == "-n")
        if len(words) == 3 and words[1] in ("=", "==", "!="):
            return (words[0] == words[2]) is (words[1] != "!=")
        if (
            len(words) == 3
            and words[1] in _NUMBERS
            and all(w.lstrip("-").isdigit() for w in words[::2])
        ):
            return _NUMBERS[words[1]](int(words[0]), int(words[2]))
        if len(words) <= 1:
            return bool(words and words[0])
        return None


def locate(devices: Devices, device: str | None, path: str) -> str | None:
    """Return `VOLUME:PATH` of a file that an entry names, wherever it is; None if it is nowhere.

    What a loader calls its root is only known as far as it was followed, so the file is also looked
    for on the other volumes, and with and without /boot.
    UnknownStepError where it may lie on a volume that is not read.
    """
    without = path.removeprefix("/boot")
    for volume in dict.fromkeys(filter(None, (device, *devices.trees))):
        for folder in ("", *SUBVOLUMES):
            for candidate in dict.fromkeys((path, f"/boot{path}", without)):
                inside = f"{folder}{candidate}"
                if candidate.startswith("/") and devices.find(volume, inside) is not None:
                    return f"{volume}:{inside}"
    for other in devices.volumes:
        closed = other.kind in CLOSED and other.part_type != BIOS_BOOT
        if other.unread or closed:
            raise UnknownStepError(f"{path[:80]} may lie on {other.name}, which is not read")
    return None


@dataclass
class _Started:
    """What the commands of one entry have said so far."""

    kernel: str | None = None
    initrds: list[str] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    line: int = 0
    unknown: str | None = None
    version: str | None = None

    def from_bls(self, run: _Run, bls: Bls) -> None:
        """Take an entry of the Boot Loader Specification, with GRUB's variables resolved."""
        self.line, self.version = bls.line, bls.version
        self.kernel = locate(run.devices, bls.volume, bls.kernel) or bls.kernel
        for path in bls.initrds:
            for name in self._words(run, path):
                self.initrds.append(locate(run.devices, bls.volume, name) or name)
        self.arguments = list(self._words(run, bls.options))

    @staticmethod
    def _words(run: _Run, text: str) -> Iterator[str]:
        for word in text.split():
            if word.startswith("$"):
                yield from run.variables.get(word[1:].strip("{}"), "").split()
            else:
                yield word

    def entry(self, run: _Run, path: str, title: str, unknown: str | None = None) -> BootEntry:
        """Return it as a value, with what is wrong with its files."""
        unknown = unknown or self.unknown
        if self.kernel is None and unknown is None:
            unknown = "it names no kernel"
        files = [self.kernel or "", *self.initrds]
        gone = [name for name in files if name and ":" not in name]
        broken = f"{gone[0]} is not in the image" if gone and unknown is None else None
        return BootEntry(path, self.line, title, self.kernel or "", tuple(self.initrds),
                         tuple(self.arguments), broken, unknown,
                         gone[0] if broken else None, self.version)  # fmt: skip


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


# What a variable holds that only a running machine knows.
_SET_AT_BOOT = "\0"
_NUMBERS = {"-eq": int.__eq__, "-ne": int.__ne__, "-lt": int.__lt__, "-le": int.__le__,
            "-gt": int.__gt__, "-ge": int.__ge__}  # fmt: skip
# Commands whose result only a running machine knows.
_RUNTIME = ("sleep", "keystatus", "cmostest", "background_image", "read", "regexp", "probe",
            "smbios", "cpuid", "hashsum", "cmp", "getenv", "efivar", "gptprio.next", "gptpriority",
            "extract_entries", "lsefi", "inl", "rdmsr", "date")  # fmt: skip
_COMMANDS = {
    "set": _Run._set, "export": _Run._set, "unset": _Run._unset, "load_env": _Run._load_env,
    "search": _Run._search, "search.fs_uuid": _Run._search_by, "search.fs_label": _Run._search_by,
    "search.file": _Run._search_by, "configfile": _Run._configfile, "normal": _Run._configfile,
    "source": _Run._source_command, ".": _Run._source_command, "blscfg": _Run._blscfg,
    "return": _Run._return, "false": lambda *_: False,
    **dict.fromkeys(_LINUX, _Run._linux), **dict.fromkeys(_INITRD, _Run._initrd),
    **dict.fromkeys(_OTHER, _Run._foreign),
}  # fmt: skip
