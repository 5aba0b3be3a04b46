"""Which library reads which file system, with which features? Prints a table in Markdown.

    sudo python benchmarks/guest_libraries.py

Makes small file systems with e2fsprogs, xfsprogs and btrfs-progs (compressed btrfs needs a mount),
fills them with one tree and lets each library read all of it; what it read is compared byte by
byte. Needs: pip install libfsext-python libfsxfs-python dissect.extfs dissect.xfs dissect.btrfs
backports.zstd pytsk3 ext4
"""

from __future__ import annotations

import hashlib
import os
import random
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

MIB = 1 << 20
CASES = {
    "ext4, defaults": ("ext4", []),
    "ext4, orphan_file, metadata_csum_seed": ("ext4", ["-O", "orphan_file,metadata_csum_seed"]),
    "ext4, inline_data": ("ext4", ["-O", "inline_data"]),
    "ext4, bigalloc": ("ext4", ["-O", "bigalloc"]),
    "ext4, casefold, large_dir, ea_inode": ("ext4", ["-O", "casefold,large_dir,ea_inode"]),
    "ext4, blocks of 1 KiB": ("ext4", ["-b", "1024"]),
    "ext3": ("ext3", []),
    "ext2": ("ext2", []),
    "xfs, defaults": ("xfs", []),
    "xfs, nrext64": ("xfs", ["-i", "nrext64=1"]),
    "xfs, rmapbt, directory blocks of 16 KiB": ("xfs", ["-m", "rmapbt=1", "-n", "size=16384"]),
    "xfs, without checksums (v4)": ("xfs", ["-m", "crc=0"]),
    "btrfs, defaults": ("btrfs", []),
    "btrfs, zstd": ("btrfs", ["zstd"]),
    "btrfs, lzo": ("btrfs", ["lzo"]),
    "btrfs, zlib": ("btrfs", ["zlib"]),
}  # fmt: skip
Content = dict[str, str]  # path → SHA-256 of a file, or "-> target"


def make_tree(folder: Path) -> Content:
    chance = random.Random(1)
    (folder / "many").mkdir(parents=True)
    for number in range(3000):
        (folder / "many" / f"file-{number:04d}-{'x' * 40}").write_bytes(b"%d\n" % number)
    (folder / "small").write_bytes(b"ID=debian\n")
    (folder / "medium").write_bytes(bytes(range(256)) * 400)
    (folder / "large").write_bytes(chance.randbytes(9 * MIB + 17))
    (folder / "text").write_bytes(b"the same line again and again\n" * 100_000)
    with (folder / "sparse").open("wb") as file:
        for at in (0, 3 * MIB, 20 * MIB):
            file.seek(at)
            file.write(chance.randbytes(70_000))
    (folder / "short-link").symlink_to("small")
    (folder / "long-link").symlink_to("/usr/" + "directory/" * 15 + "end")
    deep = folder / "/".join(f"d{number}" for number in range(30))
    deep.mkdir(parents=True)
    (deep / "bottom").write_bytes(b"deep\n")
    return dict(walk_tree(folder))


def walk_tree(folder: Path) -> Iterator[tuple[str, str]]:
    for path in sorted(folder.rglob("*")):
        name = "/" + str(path.relative_to(folder))
        if path.is_symlink():
            yield name, f"-> {os.readlink(path)}"
        elif path.is_file():
            yield name, hashlib.sha256(path.read_bytes()).hexdigest()


def make(case: str, tree: Path, image: Path) -> None:
    kind, options = CASES[case]
    with image.open("wb") as file:
        file.truncate((400 if kind != "btrfs" else 200) * MIB)
    if kind == "xfs":
        run("mkfs.xfs", "-q", "-f", *options, image)
    elif kind == "btrfs":
        run("mkfs.btrfs", "-q", "-f", image)
    else:
        run(f"mkfs.{kind}", "-q", "-F", *options, image)
    with tempfile.TemporaryDirectory() as mount:
        extra = [f"compress-force={options[0]}"] if kind == "btrfs" and options else []
        try:
            run("mount", "-o", ",".join(["loop", *extra]), image, mount)
        except subprocess.CalledProcessError:
            if not kind.startswith("ext"):
                raise
            run(f"mkfs.{kind}", "-q", "-F", *options, "-d", tree, image)
            return
        try:
            run("cp", "-a", "--sparse=always", f"{tree}/.", mount)
        finally:
            run("umount", mount)


def run(*command: object) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)


def digest(pieces: Iterator[bytes]) -> str:
    total = hashlib.sha256()
    for piece in pieces:
        total.update(piece)
    return total.hexdigest()


def read_libyal(image: Path, kind: str) -> Content:
    import importlib

    library = importlib.import_module("pyfsxfs" if kind == "xfs" else "pyfsext")
    volume = library.volume()
    with image.open("rb") as file:
        volume.open_file_object(file)
        return dict(_walk_libyal(volume.get_root_directory(), ""))


def _walk_libyal(entry: object, path: str) -> Iterator[tuple[str, str]]:
    for child in entry.sub_file_entries:  # type: ignore[attr-defined]  # untyped
        name = f"{path}/{child.name}"
        kind = child.file_mode & 0o170000
        if kind == 0o040000:
            yield from _walk_libyal(child, name)
        elif kind == 0o120000:
            yield name, f"-> {child.symbolic_link_target}"
        else:
            yield name, digest(iter(lambda child=child: child.read_buffer(MIB), b""))


def read_dissect(image: Path, kind: str) -> Content:
    import importlib

    name = {"xfs": "XFS", "btrfs": "Btrfs"}.get(kind, "ExtFS")
    package = importlib.import_module(f"dissect.{name.lower()}")
    with image.open("rb") as file:
        volume = getattr(package, name)(file)
        return dict(_walk_dissect(volume.root, ""))


def _walk_dissect(inode: object, path: str) -> Iterator[tuple[str, str]]:
    for child, node in inode.listdir().items():  # type: ignore[attr-defined]  # untyped
        name = f"{path}/{child}"
        kind = getattr(node, "filetype", None) or node.type
        if child in (".", ".."):
            continue
        if kind == 0o040000:
            yield from _walk_dissect(node, name)
        elif kind == 0o120000:
            yield name, f"-> {node.link}"
        else:
            file = node.open()
            yield name, digest(iter(lambda file=file: file.read(MIB), b""))


def read_pytsk3(image: Path, kind: str) -> Content:
    import pytsk3

    volume = pytsk3.FS_Info(pytsk3.Img_Info(str(image)))
    return dict(_walk_pytsk3(volume, volume.open_dir("/"), ""))


def _walk_pytsk3(volume: object, folder: object, path: str) -> Iterator[tuple[str, str]]:
    import pytsk3

    for child in folder:  # type: ignore[attr-defined]  # untyped
        text = child.info.name.name.decode()
        if text in (".", "..", "$OrphanFiles") or child.info.meta is None:
            continue
        name, meta = f"{path}/{text}", child.info.meta
        if meta.type == pytsk3.TSK_FS_META_TYPE_DIR:
            yield from _walk_pytsk3(volume, child.as_directory(), name)
            continue
        data = child.read_random(0, meta.size) if meta.size else b""
        if meta.type == pytsk3.TSK_FS_META_TYPE_LNK:
            # A target of less than 60 bytes stands in the inode and is no content for it.
            target = meta.link if meta.size < 60 else data
            text = target.decode("utf-8", "replace") if isinstance(target, bytes) else target
            yield name, f"-> {text}"
        else:
            yield name, hashlib.sha256(data).hexdigest()


def read_ext4(image: Path, kind: str) -> Content:
    from ext4 import Volume

    with image.open("rb") as file:
        return dict(_walk_ext4(Volume(file), "/"))


def _walk_ext4(volume: object, path: str) -> Iterator[tuple[str, str]]:
    import ext4

    for entry, _kind in volume.inode_at(path).opendir():  # type: ignore[attr-defined]  # untyped
        child = entry.name_str
        if child in (".", ".."):
            continue
        name = f"{path.rstrip('/')}/{child}"
        inode = volume.inodes[entry.inode]  # type: ignore[attr-defined]  # untyped
        if isinstance(inode, ext4.Directory):
            yield from _walk_ext4(volume, name)
        elif isinstance(inode, ext4.SymbolicLink):
            yield name, f"-> {inode.readlink().decode()}"
        else:
            yield name, hashlib.sha256(inode.open().read()).hexdigest()


LIBRARIES: dict[str, tuple[Callable[[Path, str], Content], tuple[str, ...]]] = {
    "libyal (LGPL-3.0-or-later)": (read_libyal, ("ext2", "ext3", "ext4", "xfs")),
    "dissect (AGPL-3.0-or-later)": (read_dissect, ("ext2", "ext3", "ext4", "xfs", "btrfs")),
    "pytsk3 (Apache-2.0)": (read_pytsk3, ("ext2", "ext3", "ext4")),
    "ext4 (MIT)": (read_ext4, ("ext4",)),
}


def verdict(read: Callable[[Path, str], Content], image: Path, kind: str, truth: Content) -> str:
    try:
        found = read(image, kind)
    except Exception as error:
        return f"no: {type(error).__name__}"
    right = sum(found.get(name) == value for name, value in truth.items())
    wrong = [name for name, value in truth.items() if found.get(name) != value]
    return "yes" if right == len(truth) else f"{right} of {len(truth)}, not {', '.join(wrong[:2])}"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        truth = make_tree(Path(folder) / "tree")
        print("| file system |", " | ".join(LIBRARIES), "|")
        print("|---|" + "---|" * len(LIBRARIES))
        for case, (kind, _) in CASES.items():
            image = Path(folder) / "image"
            try:
                make(case, Path(folder) / "tree", image)
            except subprocess.CalledProcessError as error:
                print(f"| {case} | cannot be made here: {error.cmd[0]} |", flush=True)
                continue
            cells = [
                verdict(read, image, kind, truth) if kind in kinds else "–"
                for read, kinds in LIBRARIES.values()
            ]
            print(f"| {case} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main()
