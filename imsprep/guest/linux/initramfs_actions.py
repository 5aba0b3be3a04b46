"""What an initramfs will do: its drivers, who made it, and what it waits for before the root.

An entry may name several archives, which the kernel unpacks over one another. dracut can put most
of its files into a SquashFS or EROFS inside. The first is read by dissect where the user installed
it; else what lies in there is unknown, and said so. Sources:
dracut.cmdline(7) and dracut.modules(7) (initqueue hooks `devexists-*`, etc/cmdline.d), initramfs-
tools(7), mkinitcpio(8), booster(1).
"""

from __future__ import annotations

import io
import re
import stat
from collections.abc import Iterable, Iterator

from imsprep.errors import FormatError
from imsprep.guest.chain.values import Initramfs
from imsprep.guest.fs.interface import FileSystem, Node, UnreadableError
from imsprep.guest.linux.fstab import unescaped
from imsprep.guest.linux.initramfs import (
    KEPT_LIMIT,
    Allowance,
    DamagedError,
    Member,
    members,
)
from imsprep.guest.linux.udev import names_cards
from imsprep.units import MIB

SIZE_LIMIT = 1024 * MIB  # bytes of one file that are read

_MODULE = re.compile(r"([^/]+)\.ko(?:\.(?:gz|xz|zst|bz2|lzma))?$")
_VERSION = re.compile(r"(?:^|/)lib/modules/([^/]+)/")
_WAIT = re.compile(r"hooks/initqueue/finished/devexists-(.+)\.sh$")
_CMDLINE = re.compile(r"etc/cmdline\.d/[^/]+\.conf$|^etc/cmdline$")
_MODPROBE = re.compile(r"(?:etc|lib|run)/modprobe\.d/[^/]+\.conf$")  # modprobe.d(5)
_LOADS = re.compile(r"^conf/modules$|(?:etc|lib|run)/modules-load\.d/[^/]+\.conf$")
_CRYPTTAB = ("etc/crypttab", "cryptroot/crypttab", "conf/conf.d/cryptroot")
_PERSISTENT_NET = re.compile(
    # The generator of such rules is not bound to a card.
    r"(?:etc|lib)/udev/rules\.d/(?!.*generator)[^/]*persistent[^/]*net[^/]*\.rules$"
)
_RULE_LINE = re.compile(rb"^[ \t]*[^#\s]", re.MULTILINE)
_SQUASHFS, _DEPTH_LIMIT = b"hsqs", 40
_INNER = re.compile(r"(?:squash|erofs)[\w-]*\.img$|\.(?:sqfs|squashfs|erofs)$")
_MAKERS = (
    (re.compile(r"(?:^|/)lib/dracut(?:/|$)|^etc/initrd-release$|dracut-lib\.sh$"), "dracut"),
    (
        re.compile(r"^conf/initramfs\.conf$|^scripts/functions$|^conf/arch\.conf$"),
        "initramfs-tools",
    ),
    (re.compile(r"^init_functions$|^buildconfig$|^hooks/udev$"), "mkinitcpio"),
    (re.compile(r"^etc/booster\.init\.yaml$"), "booster"),
    (re.compile(r"^lib/mdev/|^sbin/nlplug-findfs$|nlplug-findfs$"), "mkinitfs"),
)
LVM_PROGRAM = re.compile(r"(?:^|/)s?bin/lvm(?:\.static)?$")
RAID_PROGRAM = re.compile(r"(?:^|/)s?bin/mdadm(?:\.static)?$")
CRYPT_PROGRAM = re.compile(r"(?:^|/)s?bin/cryptsetup$|(?:^|/)systemd-cryptsetup$")
_KEPT_FILES = re.compile(
    r"etc/lvm/(?:devices/system\.devices|lvm\.conf|lvmlocal\.conf)$|lib/systemd/systemd$|"
    + "|".join(program.pattern for program in (LVM_PROGRAM, RAID_PROGRAM, CRYPT_PROGRAM))
)
_MDADM = re.compile(r"(?:^|/)etc/(?:mdadm/)?mdadm\.conf$")
# A keyword may be cut to three letters, and a line go on where the next begins with a blank.
_ARRAY = re.compile(r"^(?:ARR|HOM)\w*[ \t].*(?:\n[ \t].*)*", re.MULTILINE | re.IGNORECASE)
_LINK = re.compile(r"/systemd/network/([^/]+\.link)$")
_UDEV_RULES = re.compile(r"/udev/rules\.d/([^/]+\.rules)$")
_RESUME = re.compile(r"^conf/conf\.d/[^/]+$|^conf/initramfs\.conf$")  # which init reads as shell


def look(path: str, pieces: Iterable[bytes], allowance: Allowance) -> Initramfs:
    """Go through an initramfs; what cannot be read is in `unread`, with what was found before."""
    seen = _Seen()
    unread, damage = None, None
    try:
        for member in members(pieces, seen.wants, allowance, is_inner, seen.packed.add):
            if is_inner(member.name):
                unread = _look_inside(member, seen, allowance) or unread
            else:
                seen.take(member)
    except DamagedError as error:
        unread = damage = str(error)
    except (FormatError, UnreadableError) as error:
        unread = str(error)
    return Initramfs(
        path, seen.maker, tuple(sorted(seen.versions)), tuple(sorted(seen.drivers)),
        tuple(seen.arguments), tuple(dict.fromkeys(seen.waits)), seen.crypttab,
        tuple(sorted(seen.files)), tuple(dict.fromkeys(seen.modprobe)),
        tuple(sorted(seen.loads)), unread, damage=damage, packed=tuple(sorted(seen.packed)),
        arrays=tuple(seen.arrays), naming=tuple(sorted(seen.naming)),
    )  # fmt: skip


def is_inner(name: str) -> bool:
    """Return whether a file of an initramfs is a file system with the rest of its files."""
    return _INNER.search(name) is not None


def _look_inside(image: Member, seen: _Seen, allowance: Allowance) -> str | None:
    """Go through a SquashFS inside an initramfs; return why that was not possible, or None."""
    unread = f"the drivers may lie in {image.name} inside it, which is not read"
    if image.data is None or not image.data.startswith(_SQUASHFS):
        return unread
    try:
        from imsprep.guest.fs import dissect

        opened = dissect.open_filesystem(io.BytesIO(image.data), dissect.SQUASHFS, None)
        for member in _files(opened, opened.root(), "", seen):
            allowance.take(files=1)
            seen.take(member)
    except ImportError:
        return f"{unread}: it takes imsprep[guest-agpl]"
    except UnreadableError as error:
        return f"{image.name} inside it: {error}"
    return None


def _files(opened: FileSystem, folder: Node, path: str, seen: _Seen) -> Iterator[Member]:
    """Yield the files of a file system, with the content of those that are asked for."""
    if path.count("/") > _DEPTH_LIMIT:
        raise UnreadableError(f"{path[:80]} lies too deep")
    for name in opened.names(folder):
        node = opened.child(folder, name)
        inner = f"{path}{name}"
        if node is not None and stat.S_ISDIR(node.mode):
            yield from _files(opened, node, f"{inner}/", seen)
        elif node is not None:
            asked = stat.S_ISREG(node.mode) and node.size <= KEPT_LIMIT and seen.wants(inner)
            data = opened.read(node, 0, node.size) if asked else None
            yield Member(inner, node.mode, data)


class _Seen:
    """What the members have shown so far."""

    def __init__(self) -> None:
        self.maker: str | None = None
        self.versions: set[str] = set()
        self.drivers: set[str] = set()
        self.arguments: list[str] = []
        self.waits: list[str] = []
        self.crypttab: str | None = None
        self.files: set[str] = set()
        self.modprobe: list[str] = []
        self.loads: set[str] = set()
        self.packed: set[str] = set()
        self.arrays: list[str] = []
        self.naming: set[str] = set()

    @staticmethod
    def wants(name: str) -> bool:
        """Return whether a file's content is asked for."""
        patterns = (_CMDLINE, _PERSISTENT_NET, _MODPROBE, _LOADS, _RESUME, _MDADM, _UDEV_RULES)
        return name in _CRYPTTAB or any(pattern.search(name) for pattern in patterns)

    def take(self, member: Member) -> None:
        """Add a member."""
        name = member.name
        module = _MODULE.search(name)
        if module is not None:
            self.drivers.add(module[1].replace("-", "_"))
            self.versions.update(v[1] for v in [_VERSION.search(name)] if v is not None)
            return
        self.maker = self.maker or next((m for mark, m in _MAKERS if mark.search(name)), None)
        if (wait := _WAIT.search(name)) is not None:
            self.waits.append(unescaped(wait[1]))
        elif (link := _LINK.search(name)) is not None:
            self.naming.add(link[1])
        elif _KEPT_FILES.search(name):
            self.files.add(name)
        elif member.data is not None:
            self._text(name, member.data)

    def _text(self, name: str, data: bytes) -> None:
        if _PERSISTENT_NET.search(name):
            if _RULE_LINE.search(data):
                self.files.add(name)
            return
        text = data.decode("utf-8", "surrogateescape")
        if (rules := _UDEV_RULES.search(name)) is not None:
            self.naming |= {rules[1]} if names_cards(text) else set()
        elif _MDADM.search(name):
            self.arrays += [" ".join(line.split()) for line in _ARRAY.findall(text)]
        elif name in _CRYPTTAB:
            self.crypttab = text
        elif _MODPROBE.search(name):
            lines = (line.strip() for line in text.splitlines())
            self.modprobe += [line for line in lines if line.startswith(("blacklist", "install"))]
        elif _LOADS.search(name):
            lines = (line.strip() for line in text.splitlines())
            words = (line.split()[0] for line in lines if line and line[0] not in "#;")
            self.loads.update(word.replace("-", "_") for word in words)
        elif _RESUME.match(name):
            found = re.findall(r"^RESUME=(\S+)", text, re.MULTILINE)
            self.arguments += [f"resume={text}" for one in found if (text := one.strip("\"'"))]
        else:
            self.arguments += [w.strip("\"'") for w in text.split() if not w.startswith("#")]


def persistent_net(image: Initramfs) -> Iterator[str]:
    """Yield the udev rules in it that bind names to cards."""
    for name in image.files:
        if _PERSISTENT_NET.search(name):
            yield name
