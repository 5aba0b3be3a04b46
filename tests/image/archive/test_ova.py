"""An exported machine: its system disk is read in the archive, and a hostile archive is refused."""

from __future__ import annotations

import tarfile
from collections.abc import Callable
from pathlib import Path

import pytest

from imsprep.system import lease
from imsprep.units import MIB
from tests.support.image.ova import SIZE, archive, disk, members
from tests.support.running import Outcome, need

Imsprep = Callable[..., Outcome]
pytestmark = need("qemu-img", "qemu-nbd")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The members of a good archive."""
    return members(tmp_path_factory.mktemp("made"))


def test_the_system_disk_is_read_in_place(
    files: dict[str, bytes], imsprep: Imsprep, tmp_path: Path
) -> None:
    image = archive(tmp_path / "web.ova", files)
    outcome = imsprep("convert", image, tmp_path / "out.zvhd2")
    assert outcome.code == 0, outcome.err
    assert "the disk web-disk1.vmdk is used, not web-disk2.vmdk" in outcome.err
    assert imsprep("convert", tmp_path / "out.zvhd2", tmp_path / "back.raw").code == 0
    assert (tmp_path / "back.raw").read_bytes() == disk()
    assert imsprep("convert", image, tmp_path / "direct.raw").code == 0
    assert (tmp_path / "direct.raw").read_bytes() == disk()


def test_info_lists_what_is_in_it(
    files: dict[str, bytes], imsprep: Imsprep, tmp_path: Path
) -> None:
    image = archive(tmp_path / "web.ova", files)
    said = imsprep("info", image, "--json").json
    assert (said["name"], said["firmware"], said["cpus"]) == ("web server 01", "uefi", 2)
    assert said["memory"] == 2048 * MIB
    assert [(d["file"], d["role"], d["capacity"]) for d in said["disks"]] == [
        ("web-disk1.vmdk", "system disk", SIZE), ("web-disk2.vmdk", "data disk", 8 * MIB)
    ]  # fmt: skip
    assert said["proposal"]["name"] == "web-server-01"
    assert said["proposal"]["os_version"].startswith("Debian GNU/Linux 10")
    assert said["proposal"]["firmware"] == "uefi"
    assert said["proposal"]["min_disk"] == 10, "no page forbids it"
    assert "system disk   web-disk1.vmdk" in imsprep("info", image).out


def test_an_import_takes_what_the_descriptor_proposes_and_the_command_line_wins(
    files: dict[str, bytes], imsprep: Imsprep, tmp_path: Path
) -> None:
    image = archive(tmp_path / "web.ova", files)
    words = ["import", image, "--to", f"local:{tmp_path / 'cloud'}", "--dry-run", "--json"]
    outcome = imsprep(*words)
    assert outcome.code == 0, outcome.err
    body = outcome.json["body"]
    assert body["name"] == "web-server-01"
    assert body["os_version"].startswith("Debian GNU/Linux 10")
    assert "only the system disk is imported, not web-disk2.vmdk" in outcome.err
    said = imsprep(*words, "--name", "mine", "--min-disk", 77).json["body"]
    assert (said["name"], said["min_disk"]) == ("mine", 77)


def test_only_what_the_descriptor_does_not_propose_is_missing(
    files: dict[str, bytes], imsprep: Imsprep, tmp_path: Path
) -> None:
    other = files["web.ovf"].replace(b"debian10_64Guest", b"other").replace(b"Debian", b"Own")
    disks = {name: files[name] for name in files if name.endswith(".vmdk")}
    image = archive(tmp_path / "machine.archive", {"web.ovf": other, **disks})
    done = imsprep("import", image)
    assert done.code == 2
    assert "Missing option --to, --os-version;" in done.err
    assert f"{image} was read, and proposes none;" in done.err
    assert "--min-disk" not in done.err


def test_all_disks_become_containers_and_a_plan_that_a_batch_takes(
    files: dict[str, bytes], imsprep: Imsprep, tmp_path: Path
) -> None:
    image = archive(tmp_path / "web.ova", files)
    to = f"local:{tmp_path / 'cloud'}"
    outcome = imsprep("import", image, "--all-disks", "--to", to, "--json")
    assert outcome.code == 0, outcome.err
    plan = tmp_path / "web.batch.yaml"
    assert outcome.json["plan"] == str(plan)
    assert imsprep("convert", tmp_path / "web-disk1.zvhd2", tmp_path / "one.raw").code == 0
    assert (tmp_path / "one.raw").read_bytes() == disk()
    assert "web-server-01-data1" in plan.read_text()
    done = imsprep("batch", plan, "--dry-run", "--json")
    assert done.code == 0, done.err
    again = imsprep("import", image, "--all-disks", "--to", to)
    assert again.code == 2
    assert "exists; remove it" in again.err


def test_a_descriptor_takes_its_disks_from_its_own_folder(
    files: dict[str, bytes], imsprep: Imsprep, tmp_path: Path
) -> None:
    for name, data in files.items():
        (tmp_path / name).write_bytes(data)
    assert imsprep("info", tmp_path / "web.ovf", "--json").json["format"] == "ovf"
    outcome = imsprep("convert", tmp_path / "web.ovf", tmp_path / "back.raw")
    assert outcome.code == 0, outcome.err
    assert (tmp_path / "back.raw").read_bytes() == disk()
    broken = bytearray(files["web-disk1.vmdk"])
    broken[-1] ^= 1
    (tmp_path / "web-disk1.vmdk").write_bytes(broken)
    outcome = imsprep("convert", tmp_path / "web.ovf", tmp_path / "out.raw")
    assert outcome.code == 1
    assert "the SHA256 of web-disk1.vmdk is" in outcome.err
    (tmp_path / "web-disk1.vmdk").unlink()
    outcome = imsprep("convert", tmp_path / "web.ovf", tmp_path / "out.raw")
    assert outcome.code == 1
    assert "web-disk1.vmdk is missing" in outcome.err
    (tmp_path / "web-disk1.vmdk").symlink_to("/etc/passwd")
    outcome = imsprep("convert", tmp_path / "web.ovf", tmp_path / "out.raw")
    assert outcome.code == 1
    assert "is a link" in outcome.err


def test_no_disk_of_the_folder_is_replaced_by_what_is_made_of_another(
    imsprep: Imsprep, files: dict[str, bytes], tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    other = tmp_path / "web-disk2.vmdk"  # which is not opened
    outcome = imsprep("convert", tmp_path / "web.ovf", other, "--to-format", "raw", "--force")
    assert outcome.code == 2, outcome.err
    assert "holds a piece of the source's disk" in outcome.err
    assert other.read_bytes() == files[other.name]


@pytest.mark.slow
def test_a_program_that_may_write_to_a_disk_of_the_folder_is_noticed(
    imsprep: Imsprep, files: dict[str, bytes], tmp_path: Path
) -> None:
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    with open(tmp_path / "web.ovf", "rb") as file:
        if lease.writers(file.fileno()).state != lease.NONE:
            pytest.skip("the temporary folder lies on a file system that does not tell")
    with open(tmp_path / "web-disk1.vmdk", "r+b"):
        for words in (["digest", "web.ovf"], ["convert", "web.ovf", "out.raw"]):
            done = imsprep(words[0], *(tmp_path / word for word in words[1:]))
            assert done.code == 3, done.err
            assert "web-disk1.vmdk is open for writing by" in done.err
    assert not (tmp_path / "out.raw").exists()


@pytest.mark.slow
def test_a_disk_of_the_folder_that_was_touched_is_read_before_it_is_called_imported(
    imsprep: Imsprep, files: dict[str, bytes], tmp_path: Path
) -> None:
    for name in (name for name in files if not name.endswith(".mf")):  # no sums tell either
        (tmp_path / name).write_bytes(files[name])
    words = ("import", tmp_path / "web.ovf", "--min-disk", 10, "--site", "otc", "--name", "web",
             "--type", "DataImage", "--to", f"local:{tmp_path / 'cloud'}", "--replace", "--json")  # fmt: skip
    first = imsprep(*words)
    assert first.code == 0, first.err
    again = imsprep(*words)
    assert "another state" not in again.err
    (tmp_path / "web-disk1.vmdk").touch()
    touched = imsprep(*words)
    assert "the file is in another state than when it was imported before" in touched.err
    assert again.json["image_id"] == touched.json["image_id"] == first.json["image_id"]


def refused(imsprep: Imsprep, image: Path) -> str:
    for words in (["convert", image, image.with_name("out.zvhd2")], ["info", image]):
        outcome = imsprep(*words)
        assert outcome.code == 1, outcome.err
        assert not image.with_name("out.zvhd2").exists()
    return outcome.err


def test_a_sum_of_the_manifest_that_differs_is_named(
    files: dict[str, bytes], imsprep: Imsprep, tmp_path: Path
) -> None:
    broken = bytearray(files["web-disk1.vmdk"])
    broken[len(broken) // 2] ^= 1
    image = archive(tmp_path / "web.ova", files | {"web-disk1.vmdk": bytes(broken)})
    outcome = imsprep("convert", image, tmp_path / "out.zvhd2")
    assert outcome.code == 1
    assert "the SHA256 of web-disk1.vmdk is" in outcome.err
    text = files["web.ovf"].replace(b"web server", b"WEB server")
    image = archive(tmp_path / "web.ova", files | {"web.ovf": text})
    assert "the SHA256 of web.ovf is" in refused(imsprep, image)


def test_without_a_manifest_it_is_read_and_said(
    files: dict[str, bytes], imsprep: Imsprep, tmp_path: Path
) -> None:
    image = archive(tmp_path / "web.ova", {n: d for n, d in files.items() if n != "web.mf"})
    outcome = imsprep("convert", image, tmp_path / "out.zvhd2")
    assert outcome.code == 0
    assert "no manifest has a checksum of web-disk1.vmdk" in outcome.err


def links() -> dict[str, tarfile.TarInfo]:
    made = {}
    for name, kind, target in (
        ("link.vmdk", tarfile.SYMTYPE, "/etc/shadow"), ("hard.vmdk", tarfile.LNKTYPE, "web.ovf"),
        ("../up.vmdk", tarfile.REGTYPE, ""), ("/etc/passwd", tarfile.REGTYPE, ""),
        ("folder", tarfile.DIRTYPE, ""), ("null", tarfile.CHRTYPE, ""),
        ("web-disk1.vmdk", tarfile.REGTYPE, ""),
    ):  # fmt: skip
        made[name] = tarfile.TarInfo(name)
        made[name].type, made[name].linkname = kind, target
    return made


@pytest.mark.parametrize("name", links())
def test_a_hostile_archive_is_refused(
    name: str, files: dict[str, bytes], imsprep: Imsprep, tmp_path: Path
) -> None:
    said = refused(imsprep, archive(tmp_path / "web.ova", files, links()[name]))
    assert "is a link" in said or "not a regular file" in said or "of one name" in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("<Envelope ", '<!DOCTYPE x [<!ENTITY a "aaaa">]><Envelope ', "document type"),
        ("<Envelope ", '<!DOCTYPE x SYSTEM "file:///etc/passwd"><Envelope ', "document type"),
        ("<Info>disks</Info>", "<Info>&amp", "not XML"),
        ('ovf:capacity="8"', 'ovf:capacity="-8"', "not a number"),
        ('ovf:href="web-disk1.vmdk"', 'ovf:href="../../etc/passwd"', "is not in it"),
        ('ovf:href="web-disk1.vmdk"', 'ovf:href="http://127.0.0.1/x"', "is not in it"),
        ('ovf:fileRef="file1"', 'ovf:fileRef="file1" ovf:parentRef="data"', "needs its parent"),
        ("<VirtualSystem ", '<VirtualSystem ovf:id="b"/><VirtualSystem ', "2 virtual machines"),
    ],
)
def test_a_hostile_descriptor_is_refused(
    old: str, new: str, said: str, files: dict[str, bytes], imsprep: Imsprep, tmp_path: Path
) -> None:
    text = files["web.ovf"].decode()
    assert old in text
    changed = {"web.ovf": text.replace(old, new).encode(), **files}
    changed["web.ovf"] = text.replace(old, new).encode()
    del changed["web.mf"]
    assert said in refused(imsprep, archive(tmp_path / "web.ova", changed))


def test_an_archive_that_is_cut_short_is_refused(
    files: dict[str, bytes], imsprep: Imsprep, tmp_path: Path
) -> None:
    image = archive(tmp_path / "web.ova", files)
    data = image.read_bytes()
    last = data.index(files["web-disk2.vmdk"][:4096])
    for at in (last + 1000, last - 200, len(data) // 4):
        image.write_bytes(data[:at])
        assert "web.ova" in refused(imsprep, image)


@pytest.mark.parametrize("which", ["web-disk2.vmdk", "data", "2"])
def test_another_disk_is_chosen_by_file_id_or_number(
    which: str, imsprep: Imsprep, tmp_path: Path
) -> None:
    exported = archive(tmp_path / "web.ova", members(tmp_path))
    assert imsprep("convert", exported, tmp_path / "two.raw", "--disk", which).code == 0
    assert (tmp_path / "two.raw").read_bytes() == bytes(8 * MIB)
    wrong = imsprep("convert", exported, tmp_path / "no.raw", "--disk", f"{which}x")
    assert wrong.code == 1
    assert "its disks: 1 web-disk1.vmdk, 2 web-disk2.vmdk" in wrong.err


def test_the_older_form_that_ovirt_writes_is_read(imsprep: Imsprep, tmp_path: Path) -> None:
    files = members(tmp_path)
    old = files["web.ovf"].replace(
        b"<VirtualSystem ", b'<Content xsi:type="ovf:VirtualSystem_Type" '
    )
    old = old.replace(b"</VirtualSystem>", b"</Content>")
    old = old.replace(
        b"<OperatingSystemSection ", b'<Section xsi:type="ovf:OperatingSystemSection_Type" '
    )
    old = old.replace(b"</OperatingSystemSection>", b"</Section>")
    old = old.replace(
        b"<Envelope ", b'<Envelope xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" '
    )
    del files["web.mf"]
    exported = archive(tmp_path / "web.ova", files | {"web.ovf": old})
    seen = imsprep("info", exported, "--json")
    assert seen.code == 0, seen.err
    assert seen.json["system_id"] == "debian10_64Guest"
    assert [disk["file"] for disk in seen.json["disks"]] == ["web-disk1.vmdk", "web-disk2.vmdk"]
