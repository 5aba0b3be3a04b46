"""Every rule of file, disk, request and site: a case in which it fires, and one in which not."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.bitmap.facts import BitmapFacts
from imsprep.checks import registry
from imsprep.checks.facts import Facts, Zeros
from imsprep.cloud.sites import SITES
from imsprep.image.formats import HEAD_SIZE, TAIL_SIZE, Match, identify, primary
from imsprep.image.not_a_disk import KNOWN, Kind
from imsprep.image.volumes.signatures import Volume, identify_volume
from imsprep.image.volumes.superblocks import Superblock
from imsprep.ims.request import RequestFields
from imsprep.report import Finding, Severity
from imsprep.units import GIB, MIB, TIB
from tests.support.checks.rules import GOOD, RULES, SECTORS, SIZE, disk, header, image, part
from tests.support.paths import ROOT

LINUX = "0fc63daf-8483-4772-8e79-3d69d8477de4"
QCOW2 = Match("qcow2", Kind.DISK, 0, 8)
LUKS, LVM = Volume("LUKS", True, False), Volume("LVM", False, False)


def sized(size: int, fault: str | None = None) -> Volume:
    return Volume("ext4", False, False, Superblock(size, fault))


GOOD_REQUEST: dict[str, Any] = {
    "name": "web 01", "image_url": "images:web/disk.raw", "min_disk": 40, "type": "ECS",
    "os_version": "CentOS 7.6 64bit", "description": "Made on a day, for the web.",
    "tags": ("team.web.front", "stage"), "enterprise_project_id": "0",
}  # fmt: skip


def request(**changes: Any) -> Facts:
    values = {**GOOD_REQUEST, **changes}
    site = SITES[values.pop("site", "huawei")]
    return dataclasses.replace(GOOD, request=RequestFields(**values), site=site)


def on(**changes: Any) -> Facts:
    return image(disk=disk(**changes))


CUT = header(other_lba=SECTORS + 99, last_usable=SECTORS + 60)
GROWN = header(other_lba=SECTORS - 999, last_usable=SECTORS - 1040)
SIGNED = (part(kind="0x83"),)

# id -> facts in which it fires, facts in which it does not
CASES: dict[str, tuple[Facts, Facts]] = {
    "IMS101": (image(matches=(QCOW2,)), GOOD),
    "IMS102": (image(matches=(Match("zstd", Kind.COMPRESSED, 0, 4),)), GOOD),
    "IMS103": (image(matches=(Match("vhd-fixed", Kind.DISK, SIZE - 512, 8),)), GOOD),
    "IMS114": (image(matches=(QCOW2,), to_be_packed=True), GOOD),
    "IMS104": (image(name="disk.qcow2"), GOOD),
    "IMS105": (image(matches=(QCOW2, Match("vhd-fixed", Kind.DISK, 512, 8))), image(matches=(QCOW2,))),
    "IMS106": (image(file_size=0), image(file_size=1)),
    "IMS107": (image(file_size=TIB + 1), image(file_size=10**12)),
    "IMS108": (image(virtual_size=TIB + 512), image(virtual_size=GIB)),
    "IMS109": (image(file_size=SIZE + 1), GOOD),
    "IMS110": (image(zeros=Zeros(None, True, SIZE)), GOOD),
    "IMS111": (image(file_size=128 * GIB - 1), image(file_size=128 * GIB)),
    "IMS113": (image(matches=(Match("pdf", Kind.OTHER, 0, 5),)), GOOD),
    "IMS112": (image(matches=(Match("iso", Kind.OPTICAL, 0x8001, 5),)), GOOD),
    "IMS201": (on(primary=None, backup=None), on(backup=None)),
    "IMS202": (on(primary=header(entries_valid=False)), GOOD),
    "IMS203": (on(backup=None), GOOD),
    "IMS204": (on(primary=CUT, backup=None), GOOD),
    "IMS205": (on(primary=GROWN), GOOD),
    "IMS206": (on(partitions=(part(length=SIZE),)), on(partitions=(part(length=SIZE - MIB),))),
    "IMS207": (on(partitions=(part(), part(2, 2 * MIB - 512))), on(partitions=(part(), part(2, 2 * MIB)))),
    "IMS208": (on(sector_size=4096), GOOD),
    "IMS209": (on(boot_code=False, partitions=()), on(boot_code=False)),
    "IMS210": (image(disk=disk(boot_code=False), request=RequestFields(hw_firmware_type="bios")), image(request=RequestFields(hw_firmware_type="bios"))),
    "IMS211": (on(partitions=(part(volume=LUKS),)), on(partitions=(part(volume=LVM),))),
    "IMS212": (on(partitions=(part(volume=LVM),)), GOOD),
    "IMS213": (on(backup=header(disk_guid="b")), GOOD),
    "IMS214": (on(mbr_partitions=(*disk().mbr_partitions, *SIGNED)), GOOD),
    "IMS215": (on(table="mbr", broken_chain="a loop"), GOOD),
    "IMS216": (on(partitions=(part(start=MIB + 512, length=2 * MIB),)), GOOD),
    "IMS217": (on(boot_code=False), GOOD),
    "IMS218": (on(mbr_partitions=(part(1, 512, 512 * 4095, "0xee"),)), on(mbr_partitions=(part(1, 512, 512 * 0xFFFFFFFF, "0xee"),))),
    "IMS219": (on(partitions=(part(start=33 * 512),)), on(partitions=(part(start=34 * 512),))),
    "IMS220": (on(partitions=(part(volume=sized(MIB + 512)),)), on(partitions=(part(volume=sized(MIB)),))),
    "IMS221": (on(partitions=(part(volume=sized(MIB, "odd")),)), on(partitions=(part(volume=sized(MIB)),))),
    "IMS501": (request(name="n" * 129), request(name="n" * 128)),
    "IMS502": (request(name="web/01"), request(name="网站-1")),
    "IMS503": (request(description="a <b>"), request(description="d" * 1024)),
    "IMS504": (request(image_tags=(("k", "v"),)), request()),
    "IMS505": (request(tags=tuple(f"k{n}.v" for n in range(11))), request(tags=tuple(f"k{n}.v" for n in range(10)))),
    "IMS506": (request(tags=("k" * 37,)), request(tags=("k" * 36,))),
    "IMS507": (request(tags=("k." + "v" * 44,)), request(tags=("k." + "v" * 43,))),
    "IMS508": (request(os_version=None, final=True), request(final=True)),
    "IMS509": (request(os_version="Centos 7.6 64bit"), request()),
    "IMS510": (request(min_disk=9), request(min_disk=10)),
    "IMS511": (dataclasses.replace(request(min_disk=40), virtual_size=41 * GIB), request()),
    "IMS513": (request(type="ecs"), request(type="BMS")),
    "IMS514": (request(architecture="x86_64"), request(architecture="arm")),
    "IMS515": (request(architecture="arm", hw_firmware_type="bios"), request(hw_firmware_type="uefi")),
    "IMS516": (request(license_type="byol"), request(license_type="byol", os_version="Windows Server 2019 Standard 64bit")),
    "IMS517": (request(enterprise_project_id="main"), request(enterprise_project_id="ef8b3c5a-2f1d-4c21-9a3b-0123456789ab")),
    "IMS518": (request(image_url="s3://images/disk.raw"), request()),
    "IMS519": (request(image_url="images:my disk.raw"), request(image_url="images:" + "k" * 1020 + ".raw")),
    "IMS520": (request(image_url="images:disk.zvhd2"), request()),
    "IMS521": (request(os_type="Linux"), request(type="DataImage", os_type="Linux", os_version=None)),
    "IMS522": (request(os_type="linux"), request(os_type="Linux")),
    "IMS601": (request(site="huawei-intl", os_version="Windows 10 64bit"), request(os_version="Windows 10 64bit")),
    "IMS602": (request(hw_firmware_type="uefi"), request(site="otc", hw_firmware_type="uefi")),
    "IMS603": (GOOD, image(virtual_size=GIB)),
    "IMS604": (request(os_version="openSUSE 15.1 64bit"), request()),
}  # fmt: skip

MINE = [rule for rule in RULES if rule[3] in "1256"]


def fired(facts: Facts, rule: str) -> bool:
    findings, _ = RULES[rule].run(facts)
    return bool(findings)


def test_every_rule_has_a_case() -> None:
    assert sorted(CASES) == MINE


@pytest.mark.parametrize("rule", CASES)
def test_a_rule_fires_where_it_should_and_only_there(rule: str) -> None:
    bad, good = CASES[rule]
    findings, _ = RULES[rule].run(bad)
    assert findings, "did not fire"
    assert all(re.match(r"[A-Z]", f.fix or "Nothing") for f in findings)
    assert not fired(good, rule), "fired for nothing"


@pytest.mark.parametrize("rule", MINE)
def test_a_source_has_a_date_or_says_that_it_is_inferred(rule: str) -> None:
    source = RULES[rule].source
    dated = re.search(r"\b20\d\d-\d\d", source)
    assert dated or "inferred" in source


def test_nothing_is_said_of_a_good_image_and_request() -> None:
    facts = dataclasses.replace(request(), virtual_size=40 * GIB - 512, file_size=128 * GIB)
    found = {f.rule for f in registry.run(facts).findings if f.severity > Severity.NOTE}
    assert found <= {"IMS511"}


@pytest.mark.parametrize(
    ("site", "gib", "severity"),
    [
        ("otc", 0, Severity.ERROR),
        ("otc", 9, Severity.WARNING),
        ("otc", 10, None),
        ("otc", 1024, None),
        ("otc", 1025, Severity.ERROR),
        ("huawei-intl", 9, Severity.ERROR),
    ],
)
def test_where_pages_disagree_the_own_page_decides_and_the_other_warns(
    site: str, gib: int, severity: Severity | None
) -> None:
    findings, _ = RULES["IMS510"].run(
        request(site=site, min_disk=gib, os_version="CentOS 7.0 64bit")
    )
    assert [f.severity for f in findings] == ([] if severity is None else [severity])


@pytest.mark.parametrize("site", ["otc", "huawei-intl"])
@pytest.mark.parametrize("size", [GIB, 4 * GIB + 512, 5 * GIB, 40 * GIB, 41 * GIB])
@pytest.mark.parametrize("asked", [1, 4, 40])
def test_no_rule_has_anything_against_the_min_disk_that_a_fix_names(
    site: str, size: int, asked: int
) -> None:
    def found(min_disk: int) -> list[Finding]:
        facts = request(site=site, min_disk=min_disk)
        facts = dataclasses.replace(facts, virtual_size=size)
        return [f for rule in ("IMS510", "IMS511") for f in RULES[rule].run(facts)[0]]

    for finding in found(asked):
        named = re.search(r"min_disk (\d+)", finding.fix or "")
        assert finding.rule == "IMS510" or named is not None
        assert named is None or found(int(named[1])) == []


def test_nothing_is_advised_where_nothing_is_wrong() -> None:
    (finding,) = RULES["IMS114"].run(image(matches=(QCOW2,), to_be_packed=True))[0]
    assert (finding.fix, finding.expected, finding.found, finding.region) == (None,) * 4
    for path in sorted((ROOT / "imsprep").rglob("*.py")):
        fixes = re.findall(r'(?:fix=f?|else f?|advice\()"([^"]*)', path.read_text())
        assert not [words for words in fixes if words.startswith("Nothing")], path


def test_what_is_accepted_is_listed_of_a_file_that_is_no_image() -> None:
    (finding,) = RULES["IMS113"].run(image(matches=(Match("json", Kind.OTHER, 0, 5),)))[0]
    assert "qcow2, VMDK" in (finding.expected or "")
    assert (
        finding.fix
        == "Leave it out if it is no image; if it was meant to be one, download it again"
    )


def test_several_physical_volumes_are_one_note_that_names_them() -> None:
    parts = tuple(part(n, n * MIB, volume=LVM) for n in (1, 2, 3))
    (finding,) = RULES["IMS212"].run(on(partitions=parts))[0]
    assert finding.message == "partition 1, partition 2 and partition 3 are LVM physical volumes"


@pytest.mark.parametrize(
    ("site", "expected", "fix"),
    [
        ("otc", "1 to 1024 GB", "Use min_disk 10, which satisfies every page (a page of otc allows 1)."),
        ("huawei-intl", "10 to 1024 GB", "Use min_disk 10, which satisfies every page."),
    ],
)  # fmt: skip
def test_a_min_disk_below_the_disk_names_both_sizes_and_why_more_is_advised(
    site: str, expected: str, fix: str
) -> None:
    facts = dataclasses.replace(request(site=site, min_disk=0), virtual_size=515 * MIB)
    [finding] = RULES["IMS511"].run(facts.packed())[0]
    assert finding.message == (
        "min_disk 0 is 0 bytes, the disk has 515 MiB (540016640 bytes), and the ZVHD2 made of it"
        " 1 GiB (1073741824 bytes)"
    )
    assert (finding.expected, finding.fix) == (expected, fix)
    [finding] = RULES["IMS510"].run(facts)[0]
    assert finding.fix == "Use min_disk 10, which satisfies every page."


def test_min_disk_equal_to_the_disk_is_a_warning() -> None:
    facts = dataclasses.replace(request(min_disk=40), virtual_size=40 * GIB)
    findings, _ = RULES["IMS511"].run(facts)
    assert [f.severity for f in findings] == [Severity.WARNING]


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("ubuntu 18.04 server 64bit", "Ubuntu 18.04 server 64bit"),
        ("CentOS 7.6 64 bit", "CentOS 7.6 64bit"),
        ("Red Hat Linux Enterprise 7.5 64bit", "Redhat Linux Enterprise 7.5 64bit"),
    ],
)
def test_a_near_miss_is_named(asked: str, meant: str) -> None:
    findings, _ = RULES["IMS509"].run(request(os_version=asked))
    assert meant in findings[0].message
    assert findings[0].severity is Severity.WARNING


@pytest.mark.parametrize(
    ("site", "asked", "said", "fix"),
    [
        ("otc", "Debian GNU/Linux 12", 'version: "Debian GNU/Linux 12.0.0 64bit"',
         'Use os_version "Debian GNU/Linux 12.0.0 64bit", or ask the region'),
        ("otc", "CentOS 7", '"CentOS 7.0 64bit", "CentOS 7.9 64bit", "CentOS 7.8 64bit" and 7 more',
         '"CentOS 7.8 64bit" and 7 more, whichever'),
        ("otc", "Windows Server 2022", 'Standard 64bit" and "Windows Server 2022 Datacenter 64bit"',
         'Standard 64bit" or "Windows Server 2022 Datacenter 64bit", whichever'),
        ("huawei", "Debian GNU/Linux 12", "nothing of that system and version is listed", "as Other"),
        ("huawei", "Ubuntu 24.04", "nothing of that system and version is listed", "as Other"),
        ("otc", "rocky 9.3", "nothing of that system and version is listed", "as Other"),
        ("otc", "rocky 9.2", 'the user guide lists "Rocky Linux 9.2 64bit"', "as Other"),
    ],
)  # fmt: skip
def test_an_incomplete_value_gets_the_listed_ones_of_its_version(
    site: str, asked: str, said: str, fix: str
) -> None:
    [finding], _ = RULES["IMS509"].run(request(site=site, os_version=asked))
    assert finding.severity is Severity.WARNING
    assert said in finding.message
    assert "listed values have a name, a version, and 64bit or 32bit" in finding.message
    assert fix in finding.fix


@pytest.mark.slow
@given(st.sampled_from(sorted(SITES)), st.text(max_size=4), st.integers(0, 40), st.integers(0, 12))
def test_no_other_version_is_ever_proposed(site: str, noise: str, major: int, minor: int) -> None:
    asked = f"CentOS{noise} {major}.{minor} 64bit"
    for finding in RULES["IMS509"].run(request(site=site, os_version=asked))[0]:
        assert finding.severity is Severity.WARNING
        near = (finding.expected or "").strip('"')
        if near in [v for one in SITES[site].all_lists for v in one.all]:
            assert re.findall(r"\d+", near)[0] in re.findall(r"\d+", asked)


@pytest.mark.parametrize(
    ("site", "asked", "said", "fix"),
    [
        ("huawei-intl", "Debian GNU/Linux 12.0.0 64bit", "; otc and otc-swiss list exactly this value",
         "Choose the site otc if the image is for Open Telekom Cloud; else ask the region"),
        ("otc", "CentOS 7 64bit", '; listed of that system and version: "CentOS 7.0 64bit"',
         'Use os_version "CentOS 7.0 64bit"'),
    ],
)  # fmt: skip
def test_the_site_that_lists_the_very_value_is_named(
    site: str, asked: str, said: str, fix: str
) -> None:
    [finding], _ = RULES["IMS509"].run(request(site=site, os_version=asked))
    assert said in finding.message
    assert finding.fix.startswith(fix)
    assert ("exactly this value" in finding.message) is fix.startswith("Choose")


def test_where_no_version_is_near_the_newest_and_the_list_are_named() -> None:
    asked = "Debian GNU/Linux 13.0.0 64bit"
    [finding], _ = RULES["IMS509"].run(request(site="otc", os_version=asked))
    assert finding.message.endswith(
        '; the newest of that system is "Debian GNU/Linux 12.0.0 64bit"'
    )
    assert finding.expected == "a value that `imsprep os-versions --site otc` lists"
    assert finding.fix.startswith("Ask the region: imsprep os-versions --online;")


def test_a_value_of_the_newer_list_is_one() -> None:
    assert not RULES["IMS509"].run(request(site="otc", os_version="Fedora 39 64bit"))[0]
    assert RULES["IMS509"].run(request(site="huawei", os_version="Fedora 39 64bit"))[0]


@pytest.mark.parametrize(
    ("name", "format_", "command"),
    [
        ("-x.qcow2", "qcow2", "qemu-img convert -f qcow2 -O raw ./-x.qcow2 disk.raw"),
        ("-x.qcow2", "qcow2", "imsprep convert ./-x.qcow2 disk.zvhd2, "),
        ("nbd:x y", "qcow2", "-O raw './nbd:x y' disk.raw"),
        ("disk.raw", "qcow2", "-O raw disk.raw new.raw"),
        ("disk.zvhd2", "qcow2", "imsprep convert disk.zvhd2 new.zvhd2, "),
        ("disk.zvhd2", "zvhd", "-O zvhd2 disk.zvhd2 new.zvhd2"),
        ("disk.raw", "android-sparse", "simg2img disk.raw new.raw"),
        ("host:x.tar", "tar", "tar -xf ./host:x.tar"),
        ("disk.raw", "zlib", "zlib-flate -uncompress < disk.raw > new.raw"),
        ("-x", "gzip", "gzip -dk ./-x"),
        ("a b/x:y.tar", "tar", "tar -xf 'a b/x:y.tar'"),
        ("-d/disk.raw", "qcow2", "-O raw ./-d/disk.raw new.raw"),
    ],
)
def test_a_command_takes_every_name_for_a_file_and_never_writes_over_it(
    name: str, format_: str, command: str
) -> None:
    kind = Kind.DISK if format_ in ("qcow2", "zvhd", "android-sparse") else Kind.ARCHIVE
    facts = image(name="x", path=name, matches=(Match(format_, kind, 0, 4),))
    (finding,) = RULES["IMS101" if kind is Kind.DISK else "IMS102"].run(facts)[0]
    assert command in finding.fix
    assert finding.fix.startswith("Run ")


@pytest.mark.parametrize("format_", KNOWN)
def test_the_fix_of_a_file_that_is_no_disk_begins_as_a_sentence(format_: str) -> None:
    facts = image(matches=(Match(format_, Kind.ARCHIVE, 0, 4),))
    (finding,) = RULES["IMS102"].run(facts)[0]
    assert re.match(r"[A-Z]", finding.fix)


def test_a_disk_of_zeros_has_its_own_size_and_not_that_of_its_container() -> None:
    zeros = Zeros(None, complete=True, looked_at=SIZE)
    packed = dataclasses.replace(
        image(virtual_size=10 * MIB, zeros=zeros).packed(), matches=(QCOW2,)
    )
    (finding,) = RULES["IMS110"].run(packed)[0]
    assert finding.message == "all 10 MiB (10485760 bytes) are zero"


def test_a_cut_file_is_enlarged_by_its_name() -> None:
    (finding,) = RULES["IMS109"].run(image(name="-x", file_size=SIZE + 1))[0]
    assert finding.fix.endswith(f"truncate -s {SIZE + 512} ./-x")


@pytest.mark.parametrize(
    ("key", "said"),
    [("my disk.raw", "has a space"), ("a\nb.raw", r"has white space: '\n'")],
)
def test_white_space_in_a_key_is_named(key: str, said: str) -> None:
    findings, _ = RULES["IMS519"].run(request(image_url=f"images:{key}"))
    assert said in findings[0].message.replace("\\\\", "\\")


def test_a_disk_that_is_too_small_is_compared_in_bytes() -> None:
    (finding,) = RULES["IMS603"].run(image(virtual_size=GIB, site=SITES["huawei"]))[0]
    assert finding.expected == "40 GiB (42949672960 bytes) or more"
    assert finding.found == "1 GiB (1073741824 bytes)"


def test_a_raw_disk_that_an_import_packs_is_judged_by_what_is_made_of_it() -> None:
    def alone(size: int, **request: int) -> Facts:
        fields = RequestFields(**request)  # type: ignore[arg-type]  # min_disk alone
        bitmap = BitmapFacts("disk.mf", None, None)
        return image(virtual_size=size, file_size=size, bitmap=bitmap, request=fields)

    assert RULES["IMS603"].run(alone(GIB // 2))[0] == []
    with_bitmap = dataclasses.replace(alone(GIB // 2), bitmap=BitmapFacts("disk.mf", 64, None))
    assert RULES["IMS603"].run(with_bitmap)[0][0].severity is Severity.WARNING
    as_raw = dataclasses.replace(alone(GIB // 2), importing=True)
    assert RULES["IMS603"].run(as_raw)[0][0].severity is Severity.WARNING
    assert RULES["IMS603"].run(alone(GIB // 2).packed())[0] == []
    # What the import would say of its ZVHD2, the check says already.
    (finding,) = RULES["IMS511"].run(alone(40 * GIB - 512, min_disk=40))[0]
    assert "exactly the packed disk's size" in finding.message
    assert finding.title == "min_disk is exactly the size of the disk"
    assert RULES["IMS511"].run(alone(40 * GIB + 512, min_disk=40))[0][0].severity is Severity.ERROR


def test_a_disk_that_is_cut_short_is_not_to_be_enlarged() -> None:
    facts = image(virtual_size=GIB, site=SITES["huawei"])
    assert facts.disk is not None
    part = facts.disk.partitions[0]
    past = part._replace(length=facts.disk.size)
    disk = dataclasses.replace(facts.disk, partitions=(past,))
    (finding,) = RULES["IMS603"].run(dataclasses.replace(facts, disk=disk))[0]
    assert "truncate" not in finding.fix
    assert finding.fix.startswith("Copy the image again first")


HEAD = header()
DAMAGED = dataclasses.replace(HEAD, header_valid=False)
LARGER = header(other_lba=2 * SECTORS - 1, last_usable=2 * SECTORS - 34)
THEN = "; then run truncate -s 40G IMAGE, then sgdisk -e IMAGE; or try it as it is."


@pytest.mark.parametrize(
    ("more", "rule", "fix"),
    [
        ({"disk": disk(primary=DAMAGED)}, "IMS202", f"First do as IMS202 advises{THEN}"),
        ({"disk": disk(primary=DAMAGED, backup=None)}, "IMS201", f"First do as IMS201 advises{THEN}"),
        ({"disk": disk(sector_size=4096)}, "IMS208", f"First do as IMS208 advises{THEN}"),
        ({"disk": disk(partitions=(part(), part(2)))}, "IMS207", f"First do as IMS207 advises{THEN}"),
        ({"file_size": SIZE + 5}, "IMS109", f"First do as IMS109 advises{THEN}"),
        ({"disk": disk(primary=LARGER, backup=None)}, "IMS204",
         "Run truncate -s 40G IMAGE, then sgdisk -e IMAGE, in place of what IMS204 advises; or try"),
        ({"disk": disk(backup=None)}, "IMS203",
         "Run truncate -s 40G IMAGE, then sgdisk -e IMAGE; or try it as it is."),
    ],
)  # fmt: skip
def test_a_disk_grows_after_what_else_is_wrong_with_it_is_mended(
    more: dict[str, Any], rule: str, fix: str
) -> None:
    facts = image(virtual_size=GIB, site=SITES["huawei"], **more)
    assert RULES[rule].run(facts)[0], "the finding that stands beside it"
    (finding,) = RULES["IMS603"].run(facts)[0]
    assert (finding.fix or "").startswith(fix)


def test_what_holds_no_disk_is_not_to_be_enlarged() -> None:
    findings, skipped = RULES["IMS603"].run(image(zeros=Zeros(None, True, SIZE)))
    assert findings == []
    assert skipped is not None
    assert "IMS110" in skipped.reason


@pytest.mark.parametrize(
    ("matches", "fix"),
    [
        ((), "Run truncate -s 40G IMAGE, then sgdisk -e IMAGE; or try it as it is."),
        ((QCOW2,), "Run qemu-img resize IMAGE 40G, then sgdisk -e on the disk in the system"),
        (
            (Match("vmdk", Kind.DISK, 0, 4),),
            "Enlarge the disk to 40 GiB where it was made, then sgdisk -e on the disk in",
        ),
    ],
)
def test_how_a_disk_grows_depends_on_its_format(matches: tuple[Match, ...], fix: str) -> None:
    facts = image(virtual_size=GIB, site=SITES["huawei"])
    assert facts.disk is not None
    disk = dataclasses.replace(facts.disk, table="gpt")
    facts = dataclasses.replace(facts, disk=disk, matches=matches)
    (finding,) = RULES["IMS603"].run(facts)[0]
    assert (finding.fix or "").startswith(fix)
    without = dataclasses.replace(facts, disk=dataclasses.replace(disk, table="mbr"))
    assert "sgdisk" not in (RULES["IMS603"].run(without)[0][0].fix or "")


@pytest.mark.parametrize("site", SITES.values(), ids=lambda s: s.key)
def test_a_site_is_dated_and_has_a_list(site: Any) -> None:
    assert len(site.os_versions.all) > 100
    assert site.date >= "2022"
    assert all(hasattr(site, member) for member in site.inferred)


def test_a_polyglot_is_noticed_by_its_bytes() -> None:
    data = b"QFI\xfb\0\0\0\3" + bytes(HEAD_SIZE + TAIL_SIZE) + b"conectix" + bytes(504)
    matches = identify(data[:HEAD_SIZE], data[-TAIL_SIZE:], len(data))
    assert [m.format for m in matches] == ["qcow2", "vhd-fixed"]


@pytest.mark.parametrize("front", [b"", b"QFI\xfb\0\0\0\3"])
def test_a_zip_behind_a_disk_is_noticed(front: bytes) -> None:
    data = front + bytes(HEAD_SIZE + TAIL_SIZE) + b"PK\5\6" + bytes(16) + b"\2\0hi"
    matches = identify(data[:HEAD_SIZE], data[-TAIL_SIZE:], len(data))
    facts = image(matches=matches, file_size=len(data))
    assert fired(facts, "IMS105")
    assert not fired(facts, "IMS102")


def test_a_partition_table_in_front_of_another_format_is_noticed() -> None:
    assert fired(image(matches=(QCOW2,), outer_table="mbr"), "IMS105")
    assert not fired(image(outer_table="mbr"), "IMS105")


@pytest.mark.parametrize("site", ["huawei", "otc"])
def test_a_version_that_no_list_knows_is_a_warning_without_a_proposal(site: str) -> None:
    findings, _ = RULES["IMS509"].run(request(site=site, os_version="Ubuntu 26.04 server 64bit"))
    assert [f.severity for f in findings] == [Severity.WARNING]
    assert "Ubuntu" not in (findings[0].expected or "")


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (b"QFI\xfb\0\0\0\1", "qcow"), (b"QFI\xfb\0\0\0\2", "qcow2"), (b"QFI\xfb\0\0\0\3", "qcow2"),
        (b"QFI\xfb\0\0\0\x09", "qcow2"), (b"COWD", "vmdk"), (b"# Disk DescriptorFile\n", "vmdk"),
        (b"stream\0\0", "zvhd"), (b"z2strm\0\0", "zvhd2"), (b"conectix", "vhd-dynamic"),
        (b"\x50\x2a\x4d\x18", "zstd"), (b"BZh91AY&SY", "bzip2"), (b"BZh9 is a word", "raw"),
        (b"MSWIM\0\0\0", "wim"), (b"#!/bin/sh\n#V2.0 Format\nmodprobe cloop", "cloop"), (b"Bochs Virtual HD Image", "bochs"), (b"\x1f\x9d\x90", "compress"),
        (b"disk.ovf" + bytes(249) + b"ustar", "ova"), (b"disk.txt" + bytes(249) + b"ustar", "tar"),
        (b"\xeb\x63\x90", "raw"), (b"", "raw"),
    ],
)  # fmt: skip
def test_one_format_is_told_by_its_first_bytes(start: bytes, name: str) -> None:
    data = start + bytes(4096)
    matches = identify(data, data, len(data))
    assert primary(matches) == name
    assert len(matches) == (name != "raw")


def test_a_boot_sector_filled_with_one_byte_starts_nothing() -> None:
    start = (
        b"\xeb\x76\x90EXFAT   "
        + bytes(61)
        + b"\0\1"
        + bytes(34)
        + b"\x09"
        + bytes(401)
        + b"\x55\xaa"
    )
    empty = Volume("exFAT", False, False, Superblock(256 * 512))
    assert identify_volume(start) == empty
    code = start[:200] + b"code" + start[204:]
    assert identify_volume(code) == empty._replace(boot_sector=True)
    assert identify_volume(start[:108] + b"\x0d" + start[109:]) == empty._replace(
        superblock=Superblock(fault="sectors of 2^13 bytes")
    )


ZVHD, NO_BOOT, ARM = Match("zvhd", Kind.DISK, 0, 8), {"boot_code": False}, {"architecture": "arm"}


def tagged(key: str) -> Facts:
    return request(tags=None, image_tags=((key, "v"),))


@pytest.mark.parametrize(
    ("rule", "facts", "fires"),
    [
        ("IMS101", image(matches=(ZVHD,)), True),
        ("IMS209", image(disk=disk(boot_code=False, partitions=()), request=RequestFields(type="DataImage")), False),
        ("IMS217", image(disk=disk(**NO_BOOT), request=RequestFields(**ARM)), False),
        ("IMS217", image(disk=disk(**NO_BOOT), request=RequestFields(type="DataImage")), False),
        ("IMS506", tagged(""), True),
        ("IMS506", tagged("team.web"), True),
        ("IMS506", tagged("team-web_1"), False),
        ("IMS514", request(architecture="arm64"), True),
        ("IMS514", request(architecture="x86"), False),
        ("IMS601", request(site="huawei-intl", type="DataImage", os_type="Windows", os_version=None), True),
        ("IMS601", request(site="huawei-intl", type="DataImage", os_type="Linux", os_version=None), False),
    ],
)  # fmt: skip
def test_a_rule_keeps_to_its_bounds(rule: str, facts: Facts, fires: bool) -> None:
    assert bool(RULES[rule].run(facts)[0]) is fires


def test_what_a_site_lacks_is_said_with_its_name() -> None:
    [finding] = registry.run(request(site="otc", license_type="byol")).of("IMS602")
    assert finding.title == "A field is given that the site otc does not document"
    assert finding.fix == "Leave the field out on otc, or name the site of the import."


def test_a_field_that_the_vendors_own_clients_have_is_no_more_than_a_note() -> None:
    for site, severity in (("huawei", Severity.NOTE), ("otc-swiss", Severity.WARNING)):
        found = registry.run(request(site=site, hw_firmware_type="uefi")).of("IMS602")
        assert severity in [f.severity for f in found if f.found == "hw_firmware_type"]


@pytest.mark.parametrize("rule", ["IMS204", "IMS205"])
def test_a_tool_that_reads_raw_alone_is_not_offered_for_another_format(rule: str) -> None:
    raw = CASES[rule][0]
    (of_raw,), _ = RULES[rule].run(raw)
    (of_qcow2,), _ = RULES[rule].run(dataclasses.replace(raw, matches=(QCOW2,)))
    assert "sgdisk -e IMAGE" in of_raw.fix
    assert "imsprep convert" not in of_raw.fix
    assert of_qcow2.fix.endswith("That is for RAW, which imsprep convert IMAGE disk.raw makes.")
