"""GRUB's script, run as far as it decides what starts."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from imsprep.guest.chain.devices import Devices
from imsprep.guest.chain.grub.script import Menu, follow
from imsprep.guest.chain.values import BIOS, UEFI
from imsprep.guest.model import Volume
from imsprep.guest.tree import Tree
from tests.support.guest.trees import UUID, MemoryFileSystem

BOOT = Volume("partition 1", 1, 1, "ext4", UUID, "boot", part_uuid="aa-01")
OTHER = Volume("partition 2", 2, 1, "XFS", "99999999-0000-4000-8000-000000000000")
FILES = {
    "/vmlinuz-1": b"MZ",
    "/vmlinuz-2": b"MZ",
    "/initrd-1": b"0",
    "/grub/grubenv": "# GRUB Environment Block\nsaved_entry=two\n",
}


def menu(
    text: str,
    *,
    firmware: str = BIOS,
    more: dict[str, str] | None = None,
    volumes: tuple[Volume, ...] = (BOOT, OTHER),
) -> Menu:
    files = MemoryFileSystem({**FILES, **(more or {}), "/grub/grub.cfg": text})
    trees = {
        "partition 1": [Tree({"/": files})],
        "partition 2": [Tree({"/": MemoryFileSystem({"/data": ""})})],
    }
    devices = Devices(volumes, {v.name: trees[v.name] for v in volumes if v.name in trees})
    config = devices.find("partition 1", "/grub/grub.cfg")
    assert config is not None
    return follow(devices, config, firmware)


def entry(title: str, kernel: str, *options: str) -> str:
    return (
        f"menuentry '{title}' {' '.join(options)} {{\n linux /vmlinuz-{kernel} root=r{kernel}\n}}\n"
    )


def started(made: Menu) -> str | None:
    return made.entries[made.default].title if made.default is not None else None


TWO = entry("one", "1", "--id", "first") + entry("two", "2", "--id=second")


@pytest.mark.parametrize(
    ("head", "title"),
    [
        ("", "one"),
        ("set default=1\n", "two"),
        ("set default=second\n", "two"),
        ("set default='two'\n", "two"),
        ("set default=none-such\n", "one"),
        ("load_env\nset default=\"${saved_entry}\"\n", "two"),
        ("if [ -s $prefix/grubenv ]; then load_env; fi; set default=$saved_entry\n", "two"),
        ("load_env -f ($root)/grub/grubenv saved_entry\nset default=${saved_entry}\n", "two"),
        ("if [ x$grub_platform = xefi ]; then set default=1; else set default=0; fi\n", "one"),
        ("function pick { set default=1; }\npick\n", "two"),
        ("for n in 0 1; do set default=$n; done\n", "two"),
        ("if ! false; then default=1; fi\n", "two"),
        ("if [ -f /none -o -n a ]; then set default=1; fi\n", "two"),
        ("if [ 3 -gt 2 -a 1 = 1 ]; then set default=1; fi\n", "two"),
        ("set default=9\n", "one"),
    ],
)  # fmt: skip
def test_the_default_entry_is_the_one_that_grub_takes(head: str, title: str) -> None:
    assert started(menu(head + TWO)) == title


def test_a_submenu_is_gone_into_by_its_path() -> None:
    text = (
        entry("one", "1")
        + "submenu 'more' --id m {\n"
        + entry("two", "2")
        + entry("three", "1")
        + "}\n"
    )
    for default in ("1>1", "m>three", "more>three"):
        assert started(menu(f"set default='{default}'\n" + text)) == "three"
    assert [e.title for e in menu(text).entries] == ["one", "two", "three"]


def test_a_command_line_has_its_variables_and_a_kernel_its_volume() -> None:
    text = "set o='root=UUID=1 ro'\nmenuentry x {\n linux ($root)/vmlinuz-1 $o a=\"b c\" ${none}\n initrd /initrd-1\n}\n"
    (one,) = menu(text).entries
    assert one.arguments == ("root=UUID=1", "ro", "a=b c")
    assert (one.kernel, one.initrds, one.line) == (
        "partition 1:/vmlinuz-1",
        ("partition 1:/initrd-1",),
        3,
    )


def test_a_search_sets_the_root_and_one_that_fails_leaves_it() -> None:
    good = f"search --no-floppy --fs-uuid --set=root {OTHER.uuid}\nconfigfile /none.cfg\n"
    made = menu(good)
    assert made.entries == []
    assert "/none.cfg" in made.failures[0]
    made = menu("search.fs_uuid gone root\n" + TWO)
    assert "gone" in made.failures[0]
    assert made.entries[0].broken is None


def test_another_file_is_gone_on_with_and_named() -> None:
    made = menu("configfile $prefix/more.cfg\n", more={"/grub/more.cfg": TWO})
    assert (started(made), made.entries[0].path) == ("one", "partition 1:/grub/more.cfg")
    made = menu("source /grub/more.cfg\nset default=1\n", more={"/grub/more.cfg": TWO})
    assert started(made) == "two"


def test_what_a_running_machine_decides_is_unknown() -> None:
    assert menu("if keystatus --shift; then set default=1; fi\n" + TWO).unknown
    assert menu("while true; do set default=1; done\n" + TWO).unknown
    assert menu("set root=crypto0\nconfigfile /x\n" + TWO).unknown
    assert not menu("if sleep --interruptible 3; then set timeout=1; fi\n" + TWO).unknown


GROUP, LOGICAL = "2bVCoA-aeeF-8Qd1-0cHn-AAAA-bbbb-Cdefgh", "xY12Zz-0000-1111-2222-3333-4444-abcdef"
ON_LVM = Volume("LVM vg-0/root", -1, 1, "ext4", UUID, lvm_id=(GROUP + LOGICAL).replace("-", ""))
BY_IDS = f"lvmid/{GROUP}/{LOGICAL}"


@pytest.mark.parametrize("device", [BY_IDS, "lvm/vg--0-root"])
def test_a_logical_volume_is_found_by_name_and_by_its_identifiers(device: str) -> None:
    tree = {"LVM vg-0/root": [Tree({"/": MemoryFileSystem(FILES)})]}
    for text in (
        f"set root='{device}'\nlinux /vmlinuz-1\n",
        f"search --no-floppy --fs-uuid --set=root --hint='{device}' {UUID}\nlinux /vmlinuz-1\n",
        f"linux ({device})/vmlinuz-1\n",
    ):
        files = MemoryFileSystem({"/grub/grub.cfg": f"menuentry x {{\n{text}}}\n"})
        trees = {**tree, "partition 2": [Tree({"/": files})]}
        devices = Devices((OTHER, ON_LVM), trees)
        config = devices.find("partition 2", "/grub/grub.cfg")
        assert config is not None
        assert follow(devices, config, BIOS).entries[0].kernel == "LVM vg-0/root:/vmlinuz-1"


@pytest.mark.parametrize(("volumes", "known"), [
    ((BOOT, ON_LVM), True), ((BOOT,), True), ((BOOT, Volume("partition 2", 2, 1, "LVM")), True),
    ((BOOT, Volume("partition 2", 2, 1, "LVM", unread="no label")), False),
    ((BOOT, Volume("partition 2", 2, 1, "LUKS")), False),
    ((BOOT, Volume("partition 2", 2, 1, "Linux RAID")), False),
    ((BOOT, Volume("LVM a/b", -1, 1, "ext4")), False),
])  # fmt: skip
def test_a_logical_volume_that_is_not_found_may_be_inside_what_is_not_read(
    volumes: tuple[Volume, ...], known: bool
) -> None:
    made = menu(f"set root=lvmid/{LOGICAL}/{GROUP}\nconfigfile /x\n", volumes=volumes)
    assert (made.unknown is None) is known
    assert bool(made.failures) is known


def test_a_file_that_may_lie_on_a_closed_volume_is_not_called_absent() -> None:
    gone = "menuentry x {\n linux /elsewhere root=r\n}\n"
    assert menu(gone).entries[0].broken == "/elsewhere, which is not in the image"
    closed = Volume("partition 3", 3, 1, "LUKS")
    one = menu(gone, volumes=(BOOT, closed)).entries[0]
    assert one.broken is None
    assert "partition 3" in (one.unknown or "")


def test_another_program_than_linux_is_unknown() -> None:
    assert "chainloader" in (
        menu("menuentry w {\n chainloader /x.efi\n}\n").entries[0].unknown or ""
    )


def test_efi_and_bios_may_have_other_entries() -> None:
    text = "if [ $grub_platform = efi ]; then\n" + entry("uefi", "1") + "fi\n" + entry("both", "2")
    assert started(menu(text)) == "both"
    assert started(menu(text, firmware=UEFI)) == "uefi"


def test_entries_of_the_specification_are_sorted_and_chosen_by_their_names() -> None:
    files = {f"/loader/entries/m-{v}.conf": f"title Linux {v}\nlinux /vmlinuz-1\noptions root=r $kernelopts\n"
             for v in ("5.9.1", "5.10.2", "0-rescue")}  # fmt: skip
    made = menu("set kernelopts='ro quiet'\ninsmod blscfg\nblscfg\n", more=files)
    assert [e.title for e in made.entries] == ["Linux 5.10.2", "Linux 5.9.1", "Linux 0-rescue"]
    assert made.entries[0].arguments == ("root=r", "ro", "quiet")
    made = menu("set default=m-5.9.1\nblscfg\n", more=files)
    assert started(made) == "Linux 5.9.1"


@given(st.text(alphabet="menutry{}'\"$ \n;[]=ifthlsx/#\\", max_size=80))
def test_any_text_has_entries_or_says_why_not(text: str) -> None:
    made = menu(text)
    assert made.unknown or made.default is None or made.entries


@pytest.mark.parametrize(
    "text", ["{" * 5000, "if true; then " * 5000, "menuentry x {" * 5000, "a\n" * 60_000]
)
def test_a_script_that_is_made_to_be_slow_comes_to_an_end(text: str) -> None:
    assert menu(text).unknown


def test_the_variable_of_a_search_may_stand_in_the_next_word() -> None:
    for words in (f"--fs-uuid {OTHER.uuid} --set p --no-floppy", f"-n -u {OTHER.uuid} -s p",
                  f"--set --hint hd0,gpt1 --fs-uuid {OTHER.uuid}"):  # fmt: skip
        variable = "root" if "--set --hint" in words else "p"
        made = menu(f"search {words}\nset default=0\n[ -e (${variable})/data ] && true\n"
                    f"if [ -e (${variable})/data ]; then set default=1; fi\nset root=(hd0,1)\n" + TWO)  # fmt: skip
        assert started(made) == "two", words


def test_an_array_that_no_volume_can_make_is_not_there() -> None:
    text = "if [ -d (md/md-boot)/grub2 ]; then set default=1; fi\n" + TWO
    assert started(menu(text)) == "one"
    member = Volume("partition 2", 2, 1, "Linux RAID")
    assert "md/md-boot" in (menu(text, volumes=(BOOT, member)).unknown or "")


def test_functions_and_entries_have_their_parameters() -> None:
    text = (
        'function add {\n menuentry "$1" --class x "$2" {\n linux /vmlinuz-$2 a=$#\n }\n}\n'
        "add first 1\nadd second 2\nset default=second\n"
    )
    made = menu(text)
    assert [(e.title, e.kernel) for e in made.entries] == [
        ("first", "partition 1:/vmlinuz-1"),
        ("second", "partition 1:/vmlinuz-2"),
    ]
    assert started(made) == "second"
    assert made.entries[1].arguments == ("a=2",)


def test_a_menu_without_an_end_waits() -> None:
    assert menu("set timeout=-1\n" + TWO).waits == "partition 1:/grub/grub.cfg sets timeout=-1"
    assert menu("set timeout=0\n" + TWO).waits is None


@pytest.mark.parametrize(
    "text",
    [
        "gptprio.next -d dev -u part\nif [ -z \"$part\" ]; then set default=1; fi\n",
        "probe --set=v --fs-uuid $root\nregexp --set 1:n '(.)' $v\nset default=$n\n",
        "while sleep --interruptible 1; do set default=two; done\n",
        "probe --set=u --fs-uuid $root\nsearch --fs-uuid --set=root $u\n",
        "getenv -e Name -b value\nconfigfile $value\n",
    ],
)  # fmt: skip
def test_a_variable_that_the_machine_sets_makes_what_uses_it_unknown(text: str) -> None:
    assert menu(text + TWO).unknown is not None
    harmless = "smbios --type 1 --get-string 4 --set name\necho $name\nset timeout=$name\n"
    assert started(menu(harmless + TWO)) == "one"


def test_an_entry_that_takes_a_partition_by_priority_is_unknown_and_not_broken() -> None:
    body = 'gptprio.next -d d -u part\nif [ "$part" = x ]; then set k=/gone-a; else set k=/gone-b; fi\n'
    made = menu(f"menuentry a {{\n{body}linux $k mount.usr=PARTUUID=$part\n}}\n")
    assert made.entries[0].broken is None
    assert "condition" in (made.entries[0].unknown or "")


def test_a_brace_may_stand_right_behind_a_title() -> None:
    made = menu("menuentry 'boot'{\nlinux /vmlinuz-1 a=${prefix}}\n")
    assert [(e.title, e.arguments) for e in made.entries] == [("boot", ("a=(partition 1)/grub",))]


@pytest.mark.parametrize(("fallback", "title"), [
    ("", "old"), ("1", "two"), ("second", "two"), ("two", "two"), ("7 1", "two"), ("0", "old"), ("9", "old"),
])  # fmt: skip
def test_where_the_kernel_of_the_default_entry_is_gone_grub_falls_back(
    fallback: str, title: str
) -> None:
    entries = entry("old", "gone") + entry("two", "2", "--id=second")
    assert started(menu(f"set fallback='{fallback}'\n{entries}")) == title
    assert started(menu(f"set fallback=1\n{TWO}")) == "one", "where the default one starts"


def test_an_initramfs_that_is_gone_is_no_reason_to_fall_back() -> None:
    body = "menuentry old {\n linux /vmlinuz-1\n initrd /gone\n}\n"
    made = menu(f"set fallback=1\n{body}{entry('two', '2')}")
    assert started(made) == "old"
    assert (made.entries[0].broken or "").startswith("/gone, which is not")


@pytest.mark.parametrize(
    "end", ["menuentry x {\n linux /vmlinuz-1\n", "menuentry 'x {\n linux /vmlinuz-1\n}\n",
            "if true; then\n set default=1\n", "function f {\n"],
)  # fmt: skip
def test_of_a_file_that_is_cut_grub_takes_what_is_whole(end: str) -> None:
    made = menu(TWO + end)
    assert [e.title for e in made.entries] == ["one", "two"]
    alone = menu(f"set timeout=1\n\n{end}")
    assert (alone.entries, alone.default, alone.unknown) == ([], None, None)
    assert "partition 1:/grub/grub.cfg: what begins at line 3 has no end" in alone.failures[0]


def test_of_a_file_that_is_not_read_to_its_end_nothing_is_left_out() -> None:
    made = menu("#" * 300_000 + "\n" + TWO)
    assert made.unknown is not None or made.entries == []
    cut = menu(f"menuentry x {{\n {'#' * 300_000}\n linux /vmlinuz-1\n}}\n")
    assert "bytes were read" in (cut.unknown or "")
    assert cut.failures == []


@pytest.mark.parametrize(("firmware", "listed", "broken"), [
    (BIOS, "linux: linux\nlinux16: linux16\n", True), (BIOS, "linux: linux\n*linuxefi: linux\n", False),
    (BIOS, "", False), (BIOS, None, False), (UEFI, "linux: linux\n", False),
])  # fmt: skip
def test_an_entry_loads_no_kernel_by_a_command_that_is_in_no_module(
    firmware: str, listed: str | None, broken: bool
) -> None:
    more = {"/grub/i386-pc/command.lst": listed} if listed is not None else {}
    made = menu("menuentry a {\n linuxefi /vmlinuz-1\n}\n", firmware=firmware, more=more)
    said = "no kernel: partition 1:/grub/i386-pc has no module for the command linuxefi"
    assert [e.broken for e in made.entries] == [said if broken else None]
    assert [e.kernel for e in made.entries] == ["" if broken else "partition 1:/vmlinuz-1"]


def test_an_entry_with_an_initramfs_only_starts_nothing() -> None:
    made = menu(f"set fallback=1\nmenuentry a {{\n initrd /initrd-1\n}}\n{entry('two', '2')}")
    assert made.entries[0].broken == "no kernel, and only an initramfs"
    assert started(made) == "two"
    other = menu("menuentry a {\n chainloader /x\n initrd /initrd-1\n}\n")
    assert (other.entries[0].broken, "chainloader" in (other.entries[0].unknown or "")) == (
        None,
        True,
    )


OTHER_MENU = {"/grub/more.cfg": "set timeout=-1\nset default=1\n" + TWO.replace("'one'", "'three'")}


@pytest.mark.parametrize("kind", ["menuentry", "submenu"])
@pytest.mark.parametrize("where", ["before", "behind"])
def test_a_menu_that_only_another_entry_shows_does_not_say_what_starts(
    kind: str, where: str
) -> None:
    shows = f"{kind} snapshots {{\n configfile /grub/more.cfg\n}}\n"
    text = TWO + shows if where == "behind" else "set default=second\n" + shows + TWO
    made = menu(text, more=OTHER_MENU)
    assert made.default is not None
    assert made.entries[made.default].path == "partition 1:/grub/grub.cfg"
    assert started(made) == ("one" if where == "behind" else "two")
    assert (made.waits, made.unknown) == (None, None)


def test_a_menu_that_an_entry_shows_again_is_gone_through_once() -> None:
    made = menu(TWO + "menuentry again {\n configfile $prefix/grub.cfg\n}\n")
    assert [e.title for e in made.entries] == ["one", "two", "again"]
    assert (started(made), made.files) == ("one", ["partition 1:/grub/grub.cfg"])
    assert made.entries[2].unknown == "it shows another menu"


def test_a_submenu_that_cannot_be_followed_leaves_the_others_known() -> None:
    submenu = "submenu x {\n if keystatus; then\n linux /a\n fi\n}\n"
    made = menu(TWO + submenu)
    assert (started(made), made.unknown) == ("one", None)
    chosen = menu("set default=2\n" + TWO + submenu)
    assert chosen.default is not None
    assert "condition" in (chosen.entries[chosen.default].unknown or "")


def test_a_function_gives_back_the_parameters_of_what_called_it() -> None:
    text = "function f {\n true\n}\nmenuentry x a {\n f 1 2 3\n linux /vmlinuz-1 $# $2\n}\n"
    assert menu(text).entries[0].arguments == ("2", "a")


def test_a_submenu_that_shows_another_menu_starts_what_that_menu_does() -> None:
    submenu = "submenu more {\n configfile /grub/more.cfg\n}\n"
    made = menu("set default=2\n" + TWO + submenu, more=OTHER_MENU)
    assert started(made) == "two"
    assert made.waits == "partition 1:/grub/more.cfg sets timeout=-1"


GLOBBED = {f"/grub/grub.cfg.d/{name}": f"set default=\"${{default}}{name[0]}\"\n"
           for name in ("1-auto.cfg", "2-auto.cfg", "3-other.cfg", ".9-auto.cfg")}  # fmt: skip


@pytest.mark.parametrize(("words", "default"), [
    ("${prefix}/grub.cfg.d/*-auto.cfg", "12"), ("/grub/grub.cfg.d/[13]*.cfg", "13"),
    ("/gru?/*/2-*", "2"), ("(hd0,1)/grub/grub.cfg.d/?-other.cfg", "3"),
    ("'/grub/grub.cfg.d/*'", ""), ("/grub/nothing/*", ""),
    ('/grub/grub.cfg.d/"["1]*.cfg', ""),
])  # fmt: skip
def test_a_pattern_means_the_files_that_fit(words: str, default: str) -> None:
    loop = f"for file in {words}\ndo\n  source ${{file}}\ndone\n"
    made = menu(f"{loop}{entry('one', '1')}{entry('two', '2', f'--id=x{default}')}set default=x$default\n",
                more=GLOBBED)  # fmt: skip
    assert started(made) == "two"
    assert [name.rpartition("/")[2][0] for name in made.files[1:]] == list(default)


def test_a_pattern_of_devices_is_one_that_only_the_machine_knows() -> None:
    made = menu(f"for disk in (hd*,1)/grub\ndo\n  set root=$disk\ndone\n{entry('one', '1')}")
    assert made.entries[0].kernel.endswith("/vmlinuz-1") or made.entries[0].unknown
    assert menu("for file in (hd0,*)/grub/grub.cfg\ndo\n source $file\ndone\n").unknown is not None


UBUNTU = """
set have_grubenv=true
set partuuid=aa-01
function initrdfail {
  set initrdfail=1
}
menuentry 'Ubuntu' {
  if [ "${initrdfail}" = 1 ]; then
    linux /vmlinuz-1 root=PARTUUID=aa-01
    initrd INITRD
  else
    linux /vmlinuz-1 root=PARTUUID=aa-01 panic=-1
  fi
  initrdfail
}
"""


def test_where_a_try_without_an_initramfs_panics_ubuntus_grub_takes_one() -> None:
    (second,) = menu(UBUNTU.replace("INITRD", "/initrd-1")).entries
    assert second.initrds == ("partition 1:/initrd-1",)
    for text in (UBUNTU.replace("INITRD", "/gone"), UBUNTU.replace("set have", "unset have"),
                 UBUNTU.replace("set partuuid", "set other")):  # fmt: skip
        (first,) = menu(text.replace("INITRD", "/initrd-1")).entries
        assert (first.initrds, first.arguments[-1]) == ((), "panic=-1")


@pytest.mark.parametrize(
    "text",
    [
        'set n=0\nwhile [ "$n" -lt 2 ]; do\n if [ $n = 1 ]; then set default=two; set n=2; else set n=1; fi\ndone\n',
        'until [ "$n" = x ]; do set default=two; set n=x; done\n',
        "for i in one two three; do\n if [ $i = one ]; then continue; fi\n set default=$i\n break\ndone\n",
        "for a in 1 2; do for b in two one; do set default=$b; break 2; done; done\n",
        "function f {\n break\n shift\n set default=$1\n}\nfor a in 1; do f one two; done\n",
        "{ set default=two; }\n",
        "break\nset default=two\n",
        "regexp --set=1:n --set m '^v([0-9]+)-(.*)$' v7-two\nif [ $n.$m = 7.7 ]; then set default=two; fi\n",
        "regexp --set 2:n '(.)-([[:alpha:]]*)' v-two\nset default=$n\n",
        "if ! regexp '^x.*y$' xzyw; then set default=two; fi\n",
        "shift\nset default=two\n",
    ],
)
def test_loops_patterns_and_parameters_choose_the_entry(text: str) -> None:
    assert started(menu(text + TWO)) == "two"


@pytest.mark.parametrize(
    "text",
    [
        "while true; do set a=1; done\n",
        "if regexp '(a*)*b' aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa; then set default=1; fi\n",
        "if regexp '\\d' 7; then set default=1; fi\n",
        "regexp --set=1:n '(a|ab)' ab\nset default=$n\n",
    ],
)
def test_a_loop_without_an_end_and_a_pattern_that_is_not_tried_are_unknown(text: str) -> None:
    assert menu(text + TWO).unknown is not None


def test_a_title_with_a_mark_of_submenus_is_named_with_two() -> None:
    old = "submenu 'Old > new' {\n" + entry("one > two", "2") + "}\n"
    assert started(menu("set default='Old >> new>one >> two'\n" + TWO + old)) == "one > two"
    assert started(menu("set default='Old > new>one'\n" + TWO + old)) == "one"


def test_a_block_of_variables_without_its_head_is_not_read() -> None:
    text = "load_env\nset default=$saved_entry\n"
    assert started(menu(text + TWO, more={"/grub/grubenv": "saved_entry=two\n"})) == "one"
