"""Recognised: what people have called disk.img that is no disk, what it is in words, what helps.

A file is known by fixed bytes, most of them at its start; the formats that are read as disks, and
those that need more than fixed bytes, are known to `formats`. Sources: each format's own
specification or source code, and where there is none, the patterns of file(1) 5.44.
"""

from __future__ import annotations

import enum
import re
from typing import NamedTuple

from imsprep.units import KIB, SECTOR


class Kind(enum.Enum):
    """What sort of thing a format is, which decides the advice."""

    DISK = "disk image"
    COMPRESSED = "compressed file"
    ARCHIVE = "archive"
    OPTICAL = "optical disc image"
    BACKUP = "backup"
    OTHER = "not a disk image"


class Known(NamedTuple):
    """What a format is in words, and what makes a disk of it: {0} is the file, {1} the disk."""

    name: str
    advice: str

    @property
    def is_command(self) -> bool:
        """Whether the advice is a line for a shell, before which a sentence says `run`."""
        return "{0}" in self.advice and not self.advice.startswith("on a ")


class Signature(NamedTuple):
    """Bytes at a place by which a format is known."""

    format: str
    kind: Kind
    offset: int  # from the start; negative: from the end
    magic: bytes


# Of these, a RAW disk is unpacked on the way.
STREAMS = ("gzip", "xz", "zstd", "bzip2", "lz4")

_C, _A, _B, _O = Kind.COMPRESSED, Kind.ARCHIVE, Kind.BACKUP, Kind.OTHER
_S = Signature

_RESTORE = "restore it with the program that wrote it into a virtual machine, and image its disk"
_NO_DISK = "name the disk image itself"
_AGAIN = "leave it out if it is no image; if it was meant to be one, download it again"
_GUEST = "it is a file system without a disk around it: install it into a disk with partitions"
_MAC = "on a Mac: hdiutil convert {0} -format UDTO -o {1}"

KNOWN = {
    "gzip": Known("a gzip file", "gzip -dk {0}"),
    "bzip2": Known("a bzip2 file", "bzip2 -dk {0}"),
    "xz": Known("an xz file", "xz -dk {0}"),
    "lzma": Known("an lzma file", "xz -dk {0}"),
    "zstd": Known("a zstd file", "zstd -d {0}"),
    "lz4": Known("an lz4 file", "lz4 -d {0}"),
    "lzop": Known("an lzop file", "lzop -d {0}"),
    "lzip": Known("an lzip file", "lzip -dk {0}"),
    "lrzip": Known("an lrzip file", "lrzip -d {0}"),
    "compress": Known("a compress file", "uncompress -k {0}"),
    "snappy": Known("a snappy file", "python3 -m snappy -d {0} {1}"),
    "zlib": Known("a zlib file", "zlib-flate -uncompress < {0} > {1}"),
    "cab": Known("a cab archive", "cabextract {0}"),
    "zip": Known("a zip archive", "unzip {0}"),
    "7z": Known("a 7z archive", "7z x {0}"),
    "rar": Known("a rar archive", "unrar x {0}"),
    "tar": Known("a tar archive", "tar -xf {0}"),
    "ova": Known("an OVA (an exported virtual machine)", "imsprep convert {0} disk.zvhd2"),
    "xva": Known(
        "an XVA of XenServer (a tar archive)",
        "tar -xf {0}, then xva-img -p disk-export Ref:NUMBER/ {1}",
    ),
    "docker": Known(
        "a container image (Docker or OCI, a tar archive)",
        "it has no kernel and no boot loader; build a disk with a system in it",
    ),
    "cpio": Known("a cpio archive", "cpio -i < {0}; an initramfs is not a disk"),
    "ar": Known("an ar archive", "ar x {0}"),
    "rpm": Known("an RPM package", "rpm2cpio {0} | cpio -id"),
    "xar": Known("a xar archive", "7z x {0}"),
    "wim": Known(
        "a WIM (files of Windows, no disk)",
        "wimapply {0} 1 NTFS-VOLUME onto a partition of a disk, and make it boot with bcdboot",
    ),
    "squashfs": Known("a SquashFS (files, no disk)", f"unsquashfs {{0}}; {_GUEST}"),
    "erofs": Known("an EROFS (files, no disk)", f"fsck.erofs --extract=tree {{0}}; {_GUEST}"),
    "cramfs": Known("a cramfs (files, no disk)", _GUEST),
    "romfs": Known("a romfs (files, no disk)", _GUEST),
    "ubi": Known("a UBI image of flash memory", _NO_DISK),
    "vma": Known(
        "a backup of Proxmox (VMA)", "vma extract {0} restored; it makes disk-drive-*.raw there"
    ),
    "partclone": Known(
        "a partclone image of one partition",
        "partclone.restore -C -s {0} -o PARTITION, onto a partition of a disk; of Clonezilla:"
        " restore the whole disk",
    ),
    "ntfsclone": Known(
        "an ntfsclone image of one partition",
        "ntfsclone --restore-image --overwrite PARTITION {0}, onto a partition of a disk",
    ),
    "partimage": Known("a Partimage image of one partition", "partimage restore PARTITION {0}"),
    "fsarchiver": Known(
        "an FSArchiver archive",
        "fsarchiver restfs {0} id=0,dest=PARTITION, and install a boot loader",
    ),
    "ghost": Known("a Norton Ghost image", f"{_RESTORE} (ghost -clone,mode=restore)"),
    "acronis": Known("an Acronis True Image backup (TIB)", _RESTORE),
    "aff": Known("an AFF image (forensics)", "affcat {0} > {1}"),
    "ewf": Known("an EnCase image (EWF, E01)", "ewfexport -t disk -f raw {0}"),
    "aff4": Known("an AFF4 image (forensics)", "aff4imager -e FOLDER {0}, and name what it makes"),
    "zfs-send": Known("a stream of zfs send", "zfs receive POOL/NAME < {0}"),
    "btrfs-send": Known("a stream of btrfs send", "btrfs receive FOLDER < {0}"),
    "xfsdump": Known("a dump of XFS", "xfsrestore -f {0} FOLDER"),
    "dump": Known("a dump of ext2 to ext4, or UFS", "restore -rf {0}"),
    "libvirt-save": Known("the saved memory of a virtual machine (virsh save)", _NO_DISK),
    "qemu-state": Known("the saved memory of a virtual machine (QEMU)", _NO_DISK),
    "virtualbox-state": Known("the saved state of a virtual machine (VirtualBox)", _NO_DISK),
    "vmware-state": Known("the saved state of a virtual machine (VMware)", _NO_DISK),
    "android-boot": Known("an Android boot image", _NO_DISK),
    "android-ota": Known("an Android update (payload.bin)", _NO_DISK),
    "apple-sparseimage": Known("a sparse image of macOS", _MAC),
    "apple-asif": Known("a sparse image of macOS (ASIF)", _MAC),
    "apple-encrypted": Known("an encrypted disk image of macOS", _MAC),
    "nrg": Known("a CD image of Nero", "nrg2iso {0} disc.iso; an optical disc is not a disk"),
    "cd-sectors": Known("raw sectors of a CD (BIN)", "bchunk {0} FILE.cue disc; an optical disc"
    " is not a disk"),
    "udf": Known("a UDF disc image", "install from it into a disk image, and check that one"),
    "encrypted": Known("an encrypted file (OpenSSL, age or OpenPGP)", "decrypt it first"),
    "uimage": Known("a U-Boot image (a kernel, or a script)", _NO_DISK),
    "device-tree": Known("a device tree or FIT image", _NO_DISK),
    "kernel": Known("a Linux kernel", _NO_DISK),
    "elf": Known("an ELF program", _NO_DISK),
    "pe": Known("a program of Windows or EFI", _NO_DISK),
    "pdf": Known("a PDF document", _AGAIN),
    "html": Known("a web page (HTML), such as a login or an error", _AGAIN),
    "xml": Known("an XML file, such as an error of an object store", _AGAIN),
    "vmx": Known(
        "the settings of a virtual machine (VMware)",
        "name its .vmdk: the descriptor, not a piece of it",
    ),
    "vbox": Known("the settings of a virtual machine (VirtualBox)", "name its .vdi or .vmdk"),
    "parallels-xml": Known("the list of files of a Parallels disk", "name the .hds file with it"),
    "libvirt-xml": Known(
        "the settings of a virtual machine (libvirt)", "name the disk: virsh domblklist MACHINE"
    ),
    "checksums": Known("a list of checksums", "name the disk image that it is of"),
    "ovf": Known("an OVF descriptor", "with its disks there: imsprep convert {0} disk.zvhd2"),
    "json": Known("a JSON file, such as an error of a service", _AGAIN),
    "git-lfs": Known("a pointer of Git LFS, not the file itself", "git lfs pull"),
    "git-annex": Known("a pointer of git-annex, not the file itself", "git annex get {0}"),
    "script": Known("a script", _NO_DISK),
    "text": Known("a text file", _NO_DISK),
    "torrent": Known("a torrent, not the file itself", "download it with a BitTorrent client"),
    "sqlite": Known("a database of SQLite", _NO_DISK),
    "office": Known("a document of Microsoft Office, or an MSI", _NO_DISK),
    "picture": Known("a picture", _NO_DISK),
}  # fmt: skip

SIGNATURES = (
    _S("gzip", _C, 0, b"\x1f\x8b\x08"), _S("xz", _C, 0, b"\xfd7zXZ\0"),
    _S("zstd", _C, 0, b"\x28\xb5\x2f\xfd"), _S("lz4", _C, 0, b"\x04\x22\x4d\x18"),
    _S("lz4", _C, 0, b"\x02\x21\x4c\x18"), _S("lzop", _C, 0, b"\x89LZO\0\x0d\x0a\x1a\x0a"),
    _S("lrzip", _C, 0, b"LRZI"), _S("compress", _C, 0, b"\x1f\x9d\x90"),
    _S("lzip", _C, 0, b"LZIP\1"), _S("snappy", _C, 0, b"\xff\x06\0\0sNaPpY"),
    _S("cab", _A, 0, b"MSCF\0\0\0\0"), _S("zip", _A, 0, b"PK\3\4"), _S("zip", _A, 0, b"PK\5\6"),
    _S("7z", _A, 0, b"7z\xbc\xaf\x27\x1c"), _S("rar", _A, 0, b"Rar!\x1a\x07"),
    _S("tar", _A, 257, b"ustar"), _S("ar", _A, 0, b"!<arch>\n"), _S("ar", _A, 0, b"!<thin>\n"),
    _S("cpio", _A, 0, b"070701"), _S("cpio", _A, 0, b"070702"), _S("cpio", _A, 0, b"070707"),
    _S("rpm", _A, 0, b"\xed\xab\xee\xdb"), _S("xar", _A, 0, b"xar!\0\x1c"),
    _S("wim", _A, 0, b"MSWIM\0\0\0"), _S("wim", _A, 0, b"WLPWM\0\0\0"),
    _S("squashfs", _A, 0, b"hsqs"), _S("squashfs", _A, 0, b"sqsh"),
    _S("erofs", _A, KIB, b"\xe2\xe1\xf5\xe0"), _S("cramfs", _A, 0, b"\x45\x3d\xcd\x28"),
    _S("romfs", _A, 0, b"-rom1fs-"), _S("ubi", _O, 0, b"UBI#\1"),
    # pve-qemu, vma_spec.txt: the version is big-endian
    _S("vma", _B, 0, b"VMA\0\0\0\0\1"),
    _S("partclone", _B, 0, b"partclone-image"), _S("ntfsclone", _B, 0, b"\0ntfsclone-image"),
    _S("partimage", _B, 0, b"PaRtImAgE-VoLuMe"), _S("fsarchiver", _B, 0, b"FsArCh_0"),
    _S("ghost", _B, 0, b"\xfe\xef\1"), _S("acronis", _B, 0, b"\xb4nhD"),
    _S("acronis", _B, 0, b"\xce\x24\xb9\xa2\x20\0\0\0"),
    _S("aff", _B, 0, b"AFF10\r\n\0"), _S("ewf", _B, 0, b"EVF\x09\x0d\x0a\xff\0"),
    _S("ewf", _B, 0, b"EVF2\x0d\x0a\x81\0"), _S("ewf", _B, 0, b"LVF\x09\x0d\x0a\xff\0"),
    _S("aff4", _B, 30, b"container.description"),
    _S("zfs-send", _B, 8, b"\xac\xcb\xba\xf5\2\0\0\0"), _S("btrfs-send", _B, 0, b"btrfs-stream\0"),
    _S("xfsdump", _B, 0, b"xFSdump0"), _S("dump", _B, 24, b"\x6c\xea\0\0"),
    _S("libvirt-save", _O, 0, b"LibvirtQemudSave"), _S("libvirt-save", _O, 0, b"LibvirtQemudPart"),
    _S("qemu-state", _O, 0, b"QEVM\0\0\0"), _S("vmware-state", _O, 0, b"\xd2\xbe\xd2\xbe"),
    _S("virtualbox-state", _O, 0, b"\x7fVirtualBox SavedState V"),
    _S("android-boot", _O, 0, b"ANDROID!"), _S("android-ota", _O, 0, b"CrAU\0\0\0\0"),
    _S("apple-sparseimage", _B, 0, b"sprs\0\0\0"),
    _S("apple-asif", _B, 0, b"shdw\0\0\0\1"), _S("apple-encrypted", _B, 0, b"encrcdsa"),
    _S("apple-encrypted", _B, -8, b"cdsaencr"),
    _S("nrg", Kind.OPTICAL, -12, b"NER5"), _S("udf", Kind.OPTICAL, 0x8001, b"BEA01"),
    _S("cd-sectors", Kind.OPTICAL, 0, b"\0" + b"\xff" * 10 + b"\0"),
    _S("encrypted", _B, 0, b"Salted__"), _S("encrypted", _B, 0, b"age-encryption.org/"),
    _S("encrypted", _B, 0, b"-----BEGIN PGP MESSAGE"),
    _S("uimage", _O, 0, b"\x27\x05\x19\x56"), _S("device-tree", _O, 0, b"\xd0\x0d\xfe\xed"),
    _S("kernel", _O, SECTOR + 2, b"HdrS"), _S("elf", _O, 0, b"\x7fELF"),
    _S("pdf", _O, 0, b"%PDF-"), _S("git-lfs", _O, 0, b"version https://git-lfs.github.com/spec/"),
    _S("git-annex", _O, 0, b"/annex/objects/"), _S("torrent", _O, 0, b"d8:announce"),
    _S("sqlite", _O, 0, b"SQLite format 3\0"),
    _S("office", _O, 0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"),
    _S("picture", _O, 0, b"\x89PNG\r\n\x1a\n"), _S("picture", _O, 0, b"\xff\xd8\xff\xe0"),
    _S("picture", _O, 0, b"GIF8"),
)  # fmt: skip

_TEXT_LIMIT = 64 * KIB  # bytes of a file that is called a text by what it consists of
# What a text that is the settings of a virtual machine, or the list of its files, has in it.
_XML_KINDS = (
    (b"<html", "html"), (b"<envelope", "ovf"), (b":envelope", "ovf"), (b"<virtualbox", "vbox"),
    (b"<parallels_disk_image", "parallels-xml"), (b"<domain type=", "libvirt-xml"),
    (b"<domainsnapshot", "libvirt-xml"),
)  # fmt: skip
_VMX = (b"config.version", b"virtualhw.version")
_CHECKSUM_LINE = re.compile(
    rb"(?:sha\d+|md5)\s*\(.+\)\s*= *[0-9a-f]{32,128}|[0-9a-f]{32,128} [ *].+", re.IGNORECASE
)
_CONTAINER_MEMBERS = ("manifest.json", "repositories", "oci-layout", "index.json", "blobs")


def text_format(head: bytes, size: int) -> str | None:
    """Return what kind of text a file is, by its first bytes; None if it is none."""
    start = head[:SECTOR].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    if start.startswith((b"<!doctype html", b"<html", b"<head")):
        return "html"
    if start.startswith((b"<?xml", b"<error", b"<!--", b"<domain", b"<virtualbox")):
        return next((name for word, name in _XML_KINDS if word in head[:4096].lower()), "xml")
    if size > _TEXT_LIMIT or b"\n" not in head:
        return None
    try:
        text = head.decode()
    except UnicodeDecodeError:
        return None
    if any(ord(c) < 32 and c not in "\t\r\n\f" for c in text):
        return None
    if start.startswith(b"#!"):
        return "script"
    if all(word in head.lower() for word in _VMX):
        return "vmx"
    if all(_CHECKSUM_LINE.fullmatch(line.strip()) for line in head.split(b"\n") if line.strip()):
        return "checksums"
    return "json" if start[:1] in (b"{", b"[") else "text"


def is_program(head: bytes) -> bool:
    """Return whether this is a program of Windows or EFI: a header of DOS that leads to another."""
    at = int.from_bytes(head[60:64], "little")
    return head[:2] == b"MZ" and head[510:512] != b"\x55\xaa" and head[at : at + 4] == b"PE\0\0"


def tar_format(first: str) -> str:
    """Return which archive a tar is, by the name of its first member."""
    name = first.lower().removeprefix("./")
    if name.endswith(".ovf"):
        return "ova"
    if name == "ova.xml":
        return "xva"
    top = name.partition("/")[0]
    is_layer = len(top) == 64 and set(top) <= set("0123456789abcdef")
    return "docker" if top in _CONTAINER_MEMBERS or is_layer else "tar"
