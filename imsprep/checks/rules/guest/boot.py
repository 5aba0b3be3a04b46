"""IMS810–IMS817: whether the guest finds its disk at boot: fstab, command lines, drivers."""

from __future__ import annotations

from collections.abc import Iterator

from imsprep.checks.facts import Facts
from imsprep.checks.rule import Evidence, UnknownError, rule
from imsprep.checks.rules.guest import fixes
from imsprep.checks.rules.guest.advice import INFERRED, LINUX_GUIDE, advice, linux, listed
from imsprep.guest.linux.bootloader import CommandLine, command_lines
from imsprep.guest.linux.fstab import DEVICE_NAME, Mount, find_volume, read_fstab
from imsprep.guest.linux.kernels import VIRTIO
from imsprep.guest.model import Guest, Kernel
from imsprep.image.signatures import BITLOCKER, LUKS, LVM, RAID
from imsprep.report import Severity

# Devices that are no disk of the image, or may be made of any.
_NO_DISK = ("/dev/cdrom", "/dev/sr", "/dev/fd", "/dev/loop", "/dev/md", "/dev/nfs", "/dev/ram")
_DISK_DRIVERS = {"virtio", "virtio_ring", "virtio_pci", "virtio_blk"}
_REBUILD = advice(
    "Debian, Ubuntu: add the names to /etc/initramfs-tools/modules and run `update-initramfs -u -k "
    'all`; RHEL family: `dracut -f --regenerate-all --add-drivers "virtio_blk virtio_scsi '
    'virtio_net virtio_pci virtio_ring virtio"`; SUSE before 12 SP1: INITRD_MODULES in '
    "/etc/sysconfig/kernel and `mkinitrd`"
)


def _cut(text: str) -> str:
    """Shorten what an image says of itself: no real name is as long as this."""
    return text if len(text) <= 120 else f"{text[:120]}…"


def _mounts(guest: Guest) -> list[Mount]:
    text = guest.text("/etc/fstab")
    if text is None:
        raise UnknownError("there is no /etc/fstab")
    return read_fstab(text)


@rule(
    "IMS810",
    Severity.ERROR,
    "fstab names a disk by its kernel name",
    why="Disks have other names on KVM; the boot stops in emergency mode.",
    fix=advice("replace the device by UUID=..., as `blkid` prints it"),
    source=LINUX_GUIDE,
)
def fstab_by_name(facts: Facts) -> Iterator[Evidence]:
    """Look for /dev/sda1, /dev/vda1, /dev/xvda1 and the like."""
    guest = linux(facts)
    for mount in _mounts(guest):
        if DEVICE_NAME.match(mount.spec):
            soft = not mount.required or mount.spec.startswith("/dev/vd")
            yield Evidence(
                f"/etc/fstab line {mount.line}: {_cut(mount.spec)} on {_cut(mount.path)}",
                expected="UUID=... or LABEL=...",
                found=_cut(mount.spec),
                fix=fixes.mount_by_uuid(guest, mount),
                severity=Severity.WARNING if soft else None,
            )


@rule(
    "IMS811",
    Severity.ERROR,
    "fstab names a disk that is not in the image",
    why="Only this disk goes along; boot waits for the missing one and login may fail.",
    fix=advice("remove the line from /etc/fstab, or add the option nofail"),
    source=LINUX_GUIDE,
)
def fstab_missing(facts: Facts) -> Iterator[Evidence]:
    """Look every UUID and label of fstab up among the image's volumes."""
    guest = linux(facts)
    missing = [m for m in _mounts(guest) if m.on_disk and _is_missing(m.spec, guest)]
    for mount in missing if not _hidden(guest) else ():
        yield Evidence(
            f"/etc/fstab line {mount.line}: {_cut(mount.spec)} on {_cut(mount.path)} is not in the "
            "image",
            fix=fixes.without_mount(mount),
            severity=None if mount.required else Severity.WARNING,
        )
    if missing:
        _must_see_all(missing[0].spec, guest)


def _is_missing(spec: str, guest: Guest) -> bool:
    """Say whether a specification means no volume that was seen; a kernel name means any."""
    if DEVICE_NAME.match(spec) or spec.startswith(_NO_DISK):
        return False
    return find_volume(spec, guest.volumes) is None


def _hidden(guest: Guest) -> list[str]:
    """Name the volumes inside which others may lie that nobody can see here."""
    return [
        f"{v.name} ({v.kind})"
        for v in guest.volumes
        if v.kind in (LUKS, BITLOCKER, RAID) or (v.kind == LVM and v.unread)
    ]


def _must_see_all(spec: str, guest: Guest) -> None:
    """Raise UnknownError if a volume that was not found may lie where nobody can look."""
    hidden = _hidden(guest)
    if hidden:
        raise UnknownError(
            f"{_cut(spec)} may be inside {listed(hidden)}, which cannot be looked into"
        )


@rule(
    "IMS812",
    Severity.ERROR,
    "A kernel command line names the root by its kernel name",
    why="On KVM the disk has another name, and the kernel stops before it has a root.",
    fix=advice(
        "set root=UUID=... and run `update-grub` (Debian, Ubuntu) or `grub2-mkconfig -o "
        "/boot/grub2/grub.cfg` (RHEL family, SUSE)",
    ),
    source=LINUX_GUIDE,
)
def root_by_name(facts: Facts) -> Iterator[Evidence]:
    """Read root= of every boot entry."""
    guest = linux(facts)
    for line in _lines(guest):
        root = line.value("root") or ""
        if DEVICE_NAME.match(root):
            soft = root.startswith("/dev/vd")
            yield Evidence(
                f"{line.path} line {line.line}: root={_cut(root)} for {_cut(line.kernel)}",
                expected="root=UUID=...",
                found=f"root={_cut(root)}",
                fix=fixes.root_by_uuid(guest, line, root),
                severity=Severity.WARNING if soft else None,
            )


def _lines(guest: Guest) -> list[CommandLine]:
    lines = command_lines(guest)
    if not lines:
        raise UnknownError("no boot loader configuration was found")
    return lines


@rule(
    "IMS813",
    Severity.ERROR,
    "A kernel command line names a root that is not in the image",
    why="The kernel waits for a disk that will never come.",
    fix=advice("write the boot loader's configuration again: `update-grub` or `grub2-mkconfig`"),
    source=INFERRED,
)
def root_missing(facts: Facts) -> Iterator[Evidence]:
    """Look root= of every boot entry up among the image's volumes."""
    guest = linux(facts)
    roots = [(line, line.value("root") or "$") for line in _lines(guest)]
    missing = [(line, root) for line, root in roots if _names_no_volume(root, guest)]
    for line, root in missing if not _hidden(guest) else ():
        yield Evidence(f"{line.path} line {line.line}: root={_cut(root)} is not in the image",
                       found=_cut(root),
                       fix=fixes.root_by_uuid(guest, line, root))  # fmt: skip
    if missing:
        _must_see_all(missing[0][1], guest)
    for line, root in roots:
        if "$" in root:
            raise UnknownError(f"{line.path} line {line.line} does not say which root it takes")


def _names_no_volume(root: str, guest: Guest) -> bool:
    """Say whether a root is given by a name that means no volume of the image."""
    named = root.startswith(("UUID=", "LABEL=", "PARTUUID=", "PARTLABEL=", "/dev/"))
    return named and _is_missing(root, guest)


@rule(
    "IMS814",
    Severity.ERROR,
    "A kernel has no driver for its disk at boot",
    why="Quick import injects no driver: without virtio in the initramfs no disk is found.",
    fix=_REBUILD,
    source=LINUX_GUIDE,
)
def virtio_disk(facts: Facts) -> Iterator[Evidence]:
    """Ask for virtio_pci and virtio_blk in every initramfs, or built in."""
    guest = linux(facts)
    for kernel, missing in _missing(guest, _DISK_DRIVERS):
        yield Evidence(
            _without(kernel, missing),
            found=", ".join(kernel.loaded) or "no virtio driver",
            fix=fixes.with_virtio(guest),
        )


@rule(
    "IMS815",
    Severity.WARNING,
    "A kernel's initramfs lacks a virtio driver",
    why="The guide asks for all of them; a server with SCSI disks needs virtio_scsi to boot.",
    fix=_REBUILD,
    source=LINUX_GUIDE,
)
def virtio_rest(facts: Facts) -> Iterator[Evidence]:
    """Ask for virtio_scsi and virtio_net; worse if the kernel does not have them at all."""
    guest = linux(facts)
    for kernel, missing in _missing(guest, set(VIRTIO) - _DISK_DRIVERS):
        gone = sorted(missing - set(kernel.modules))
        yield Evidence(
            _without(kernel, missing),
            severity=Severity.ERROR if gone else None,
            found=f"not even in /lib/modules: {', '.join(gone)}" if gone else None,
            fix=None if gone else fixes.with_virtio(guest),
        )


def _missing(guest: Guest, drivers: set[str]) -> Iterator[tuple[Kernel, set[str]]]:
    """Yield the kernels that lack drivers; UnknownError if an initramfs could not be read."""
    unread = []
    for kernel in _kernels(guest):
        missing = drivers - set(kernel.builtin) - set(kernel.loaded)
        if missing and kernel.unread:
            unread.append(f"{kernel.initramfs or kernel.version}: {kernel.unread}")
        elif missing and kernel.initramfs is not None:
            yield kernel, missing
    if unread:
        raise UnknownError(listed(unread))
    guest.must_see("/lib/modules/*")


def _kernels(guest: Guest) -> list[Kernel]:
    """Return the kernels that can be started; UnknownError if there is none."""
    kernels = [kernel for kernel in guest.kernels if kernel.image is not None]
    if not kernels:
        guest.must_see("/lib/modules/*")
        raise UnknownError("no kernel was found in /boot and /lib/modules")
    return kernels


def _without(kernel: Kernel, missing: set[str]) -> str:
    return f"{kernel.initramfs} (kernel {kernel.version}) has no {', '.join(sorted(missing))}"


@rule(
    "IMS816",
    Severity.ERROR,
    "A kernel has no initramfs",
    why="A kernel without one finds its disk only if every driver is built in.",
    fix=advice("`update-initramfs -c -k all` (Debian, Ubuntu) or `dracut --regenerate-all` (RHEL)"),
    source=INFERRED,
)
def no_initramfs(facts: Facts) -> Iterator[Evidence]:
    """Ask every kernel in /boot for its initramfs unless the disk drivers are built in."""
    guest = linux(facts)
    for kernel in _kernels(guest):
        if kernel.initramfs is None and _DISK_DRIVERS - set(kernel.builtin):
            if kernel.unread:
                raise UnknownError(f"{kernel.version}: {kernel.unread}")
            yield Evidence(
                f"{kernel.image} has no initramfs in /boot and its virtio is not built in",
                fix=fixes.initramfs_again(guest),
            )
    guest.must_see("/lib/modules/*")


@rule(
    "IMS817",
    Severity.NOTE,
    "The kernel does not write to the serial console",
    why="Without it the console log of the server stays empty when boot goes wrong.",
    fix=advice(
        "add console=tty0 console=ttyS0,115200 to GRUB_CMDLINE_LINUX and write grub.cfg again"
    ),
    source=LINUX_GUIDE,
)
def serial_console(facts: Facts) -> Iterator[Evidence]:
    """Look for console=ttyS0 (ttyAMA0 on arm) in the command lines."""
    guest = linux(facts)
    lines = _lines(guest)
    if not any(
        a.startswith(("console=ttyS", "console=ttyAMA")) for line in lines for a in line.arguments
    ):
        path = lines[0].path
        yield Evidence(f"{path}: no boot entry has console=ttyS0",
                       fix=fixes.with_serial_console(guest, path))  # fmt: skip
