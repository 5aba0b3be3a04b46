"""Configuration: precedence, origins, and no silent mistake."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from imsprep.cli.settings.layers import load
from imsprep.errors import UsageError
from tests.support.cli.settings.files import rules, small_image, write
from tests.support.running import Outcome

Run = Callable[..., Outcome]


def test_environment_beats_file_beats_default(tmp_path: Path) -> None:
    write(tmp_path, 'site = "otc"\nfail-on = "warning"\n')
    settings = load({"IMSPREP_SITE": "huawei"}, tmp_path)
    assert (settings["site"].value, settings["site"].origin) == ("huawei", "IMSPREP_SITE")
    assert (settings["fail-on"].value, settings["fail-on"].origin) == ("warning", "imsprep.toml")
    assert settings["strict"].origin == "default"


def test_the_nearest_file_above_is_used(tmp_path: Path) -> None:
    write(tmp_path, '[tool.imsprep]\nsite = "otc"\n', "pyproject.toml")
    inner = tmp_path / "a" / "b"
    inner.mkdir(parents=True)
    other = write(tmp_path / "a", "[tool.other]\n", "pyproject.toml")
    assert load({}, inner)["site"].value == "otc"
    other.write_text("tool = 5\n")
    assert load({}, inner)["site"].value == "otc"
    other.write_text("[tool.imsprep]\njobs = 2\n")
    found = load({}, inner)
    assert (found["site"].origin, found["jobs"].value) == ("default", 2)
    write(tmp_path / "a", "jobs = 3\n")  # the file that is imsprep's own comes first
    assert load({}, inner)["jobs"].value == 3
    named = write(tmp_path, "jobs = 4\n", "other.toml")
    assert load({}, inner, named)["jobs"].value == 4
    with pytest.raises(UsageError, match=r"has no table \[tool.imsprep\]"):
        load({}, inner, write(tmp_path, "[tool.other]\n", "pyproject.toml"))


@pytest.mark.parametrize(
    ("name", "text", "key", "value"),
    [
        ("IMSPREP_STRICT", "TRUE", "strict", True),
        ("IMSPREP_STRICT", "", "strict", False),
        ("IMSPREP_JOBS", "8", "jobs", 8),
        ("IMSPREP_IGNORE", "IMS1, IMS216,", "ignore", ["IMS1", "IMS216"]),
        ("IMSPREP_SEVERITY", " IMS1 = note,", "severity", {"IMS1": "note"}),
    ],
)
def test_the_environment_is_read_by_the_type_of_the_key(
    tmp_path: Path, name: str, text: str, key: str, value: object
) -> None:
    assert load({name: text}, tmp_path)[key].value == value


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('sites = "otc"', "did you mean 'site'"),
        ('site = "otp"', "is not one of"),
        ('site = "eu-de"', "otc-swiss; eu-de is a region of otc"),
        ("site = 1", "must be a string"),
        ("jobs = true", "must be a number"),
        ("site = ", "not valid TOML"),
        ('severity = {IMS104 = "bad"}', "unknown severity"),
        ('[[waivers]]\nrule = "IMS104"', "needs 'reason'"),
        ('[[waivers]]\nrule = "IMS104"\nreason = " "', "needs 'reason'"),
        ('[[waivers]]\nrule = "IMS104"\nreason = "x"\nexpires = "soon"', "is not a date"),
        ('[[waivers]]\nrule = "IMS104"\nreason = "x"\nexpires = 5', "must be a date"),
        ('[[waivers]]\nrule = "IMS104"\nreason = "x"\nimage = 5', "must be a pattern"),
        ("waivers = [1]", "is not a table"),
        ('select = "IMS1"', "must be a list"),
        ("ignore = [1]", "must be a list of rule ids"),
        ('site = "\udcff"', "not valid TOML"),
        ('[[waivers]]\nrule = "IMS104"\nreason = "x"\nuntil = 2030-01-01', "unknown key 'until'"),
    ],
)
def test_a_mistake_in_the_file_is_told(tmp_path: Path, text: str, said: str) -> None:
    write(tmp_path, text)
    with pytest.raises(UsageError, match=said):
        load({}, tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "IMSPREP_SITE=x",
        "IMSPREP_JOBS=-1",
        "IMSPREP_JOBS=²",
        "IMSPREP_STRICT=perhaps",
        "IMSPREP_SEVERITY=IMS104=x",
    ],
)
def test_a_mistake_in_the_environment_is_told(tmp_path: Path, name: str) -> None:
    key, _, value = name.partition("=")
    with pytest.raises(UsageError, match=key):
        load({key: value}, tmp_path)


@pytest.fixture
def image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A small image with one warning (IMS209), in the working directory."""
    monkeypatch.chdir(tmp_path)
    return small_image(tmp_path)


@pytest.mark.parametrize(
    "options",
    [
        ["--select", "IMS999"], ["--ignore", "ims1044"], ["--severity", "IMS104=bad"],
        ["--severity", "IMS999=note"], ["--site", "mars"], ["--fail-on", "sometimes"],
        ["--output", "pdf:x"], ["--explain", "IMS0"], ["--format", "json", "--format", "sarif"],
        ["--config", "missing.toml"],
    ],
)  # fmt: skip
def test_a_mistake_on_the_command_line_is_not_a_bad_image(
    imsprep: Run, image: Path, options: list[str]
) -> None:
    outcome = imsprep("check", image, *options)
    assert outcome.code == (3 if "missing.toml" in options else 2)
    assert "Traceback" not in outcome.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--ignore", ""], "ignore: there is no rule ''"),
        (["--select", ""], "select: there is no rule ''"),
        (["--ignore", "ims1044"], "ignore: there is no rule 'IMS1044'; did you mean IMS104?"),
        (["--severity", "IMS999=note"], "severity: there is no rule 'IMS999'"),
        (["--severity", "IMS209"], "--severity: 'IMS209' has no severity; write it as in IMS209=note"),
    ],
)  # fmt: skip
def test_a_mistaken_rule_is_told_with_its_place(
    imsprep: Run, image: Path, options: list[str], said: str
) -> None:
    outcome = imsprep("check", image, *options)
    assert (outcome.code, said in outcome.err) == (2, True), outcome.err


def test_an_empty_rule_stands_for_none_in_an_import_too(imsprep: Run, image: Path) -> None:
    order = ("--name", "a", "--type", "DataImage", "--min-disk", "40", "--to", "local:cloud")
    image.write_bytes(b"QFI\xfb\0\0\0\3" + bytes(4096))
    outcome = imsprep("import", image, *order, "--dry-run", "--ignore", "")
    assert (outcome.code, "ignore: there is no rule ''" in outcome.err) == (2, True)


def import_or_batch(command: str, image: Path, min_disk: int) -> tuple[object, ...]:
    """Return a dry run of an import: of the image alone, or by a plan."""
    if command == "import":
        return ("import", image, "--name", "a", "--type", "DataImage", "--min-disk", min_disk,
                "--to", "local:cloud", "--dry-run")  # fmt: skip
    Path("plan.yaml").write_text(
        f"images:\n  - image: {image.name}\n    name: a\n    type: DataImage\n"
        f"    min-disk: {min_disk}\n    to: local:cloud\n"
    )
    return ("batch", "plan.yaml", "--dry-run")


@pytest.mark.parametrize(
    ("text", "environment"),
    [
        ('ignore = ["IMS109"]', {}),
        ('severity = { IMS109 = "note" }', {}),
        ('[[waivers]]\nrule = "IMS109"\nreason = "known"', {}),
        ("", {"IMSPREP_IGNORE": "IMS109"}),
    ],
)
@pytest.mark.parametrize("command", ["import", "batch"])
def test_an_import_goes_by_what_the_check_goes_by(
    imsprep: Run, image: Path, monkeypatch: pytest.MonkeyPatch,
    command: str, text: str, environment: dict[str, str],
) -> None:  # fmt: skip
    image.write_bytes(b"x" * 4095)  # IMS109, an error
    dry_run = import_or_batch(command, image, 40)
    assert (imsprep("check", image).code, imsprep(*dry_run).code) == (1, 1)
    Path("imsprep.toml").write_text(text)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert (imsprep("check", image).code, imsprep(*dry_run).code) == (0, 0)


def test_a_waived_finding_of_an_import_is_told_with_its_reason(imsprep: Run, image: Path) -> None:
    Path("imsprep.toml").write_text('[[waivers]]\nrule = "IMS405"\nreason = "known"\n')
    outcome = imsprep(*import_or_batch("import", image, 40), "--via", "raw")
    lines = outcome.err.splitlines()
    (at,) = (n for n, line in enumerate(lines) if line.endswith("IMS405"))
    assert lines[at].startswith("waived ")
    assert lines[at + 1].strip() == "waived: known"


@pytest.mark.parametrize("command", ["import", "batch"])
def test_an_import_goes_to_the_site_of_the_file(imsprep: Run, image: Path, command: str) -> None:
    dry_run = import_or_batch(command, image, 5)  # GB: too few for Huawei Cloud, enough for OTC
    assert imsprep(*dry_run).code == 1
    Path("imsprep.toml").write_text('site = "otc"')
    assert imsprep(*dry_run).code == 0
    if command == "import":
        assert imsprep(*dry_run, "--site", "huawei-intl").code == 1
    Path("imsprep.toml").write_text('sites = "otc"')
    outcome = imsprep(*dry_run)
    assert (outcome.code, "unknown key 'sites'" in outcome.err) == (2, True)


def test_config_show_says_where_each_value_came_from(
    imsprep: Run, image: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(image.parent, 'site = "otc"\nignore = ["IMS111"]\n')
    monkeypatch.setenv("IMSPREP_FAIL_ON", "warning")
    values = imsprep("config", "show", "--json").json["settings"]
    assert values["site"] == {"value": "otc", "origin": "imsprep.toml"}
    assert values["fail-on"] == {"value": "warning", "origin": "IMSPREP_FAIL_ON"}
    assert "IMS111  (imsprep.toml)" in imsprep("config", "show").out


@pytest.mark.parametrize(
    "command",
    [("check", "disk.raw"), ("config", "show"), ("import", "disk.raw", "--to", "local:x")],
)
def test_a_current_folder_that_was_removed_is_told(
    imsprep: Run, image: Path, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    config = image.with_name("imsprep.toml")
    config.touch()
    gone = image.with_name("gone")
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    done = imsprep(*(image if word == "disk.raw" else word for word in command))
    assert (done.code, done.out) == (3, "")
    assert "the current folder was removed" in done.err
    assert imsprep("check", image, "--config", config).code == 0


def test_several_images_keep_their_order_whatever_the_jobs(imsprep: Run, tmp_path: Path) -> None:
    for number in range(12):
        (tmp_path / f"{number:02}.raw").write_bytes(b"x" * 512 * (number + 1))
    (tmp_path / "notes.txt").write_text("no image")
    one = imsprep("check", tmp_path, "--json", "--jobs", "1")
    many = imsprep("check", tmp_path, "--json", "--jobs", "8")
    assert one.out == many.out
    assert [Path(i["image"]).name for i in one.json["images"]] == [f"{n:02}.raw" for n in range(12)]


def test_reproducible_output_has_no_folder_of_the_machine(imsprep: Run, image: Path) -> None:
    for format_ in ("text", "json", "sarif", "junit", "github", "html"):
        outcome = imsprep(
            "check", image, image.parent / "gone.raw", "--reproducible", "--format", format_
        )
        assert str(image.parent) not in outcome.out


def test_several_reports_at_once(imsprep: Run, image: Path) -> None:
    outcome = imsprep(
        "check", image, "--output", "sarif:a.sarif", "--output", "html:a.html", "--json"
    )
    assert outcome.json["exit_code"] == outcome.code == 0
    assert Path("a.sarif").read_text().startswith("{")
    assert Path("a.html").read_text().startswith("<!doctype html>")


def test_fail_on_from_the_command_line_beats_strict_from_the_file(
    imsprep: Run, image: Path
) -> None:
    write(image.parent, "strict = true\n")
    assert imsprep("check", image).code == 1
    assert imsprep("check", image, "--fail-on", "error").code == 0


def test_a_pattern_that_no_shell_replaced_stands_for_its_files(
    imsprep: Run, tmp_path: Path
) -> None:
    for name in ("b.raw", "a.raw", "a[1].raw", "c.img"):
        (tmp_path / name).write_bytes(b"x" * 512)
    seen = imsprep("check", tmp_path / "*.raw", "--json").json["images"]
    assert [Path(i["image"]).name for i in seen] == ["a.raw", "a[1].raw", "b.raw"]
    (one,) = imsprep("check", tmp_path / "a[1].raw", "--json").json["images"]
    assert Path(one["image"]).name == "a[1].raw"
    assert imsprep("check", tmp_path / "z*.raw").code == 3


def test_a_list_on_the_command_line_replaces_the_files(imsprep: Run, image: Path) -> None:
    write(image.parent, 'ignore = ["IMS209"]\n')
    assert "IMS209" not in rules(imsprep("check", image, "--json"))
    again = rules(imsprep("check", image, "--json", "--ignore", "IMS111"))
    assert "IMS209" in again
    assert "IMS111" not in again


PROFILED = """
site = "huawei"
[import]
to = "local:cloud"
min-disk = 40
[profiles.prod]
site = "otc"
[profiles.prod.import]
type = "DataImage"
min-disk = 50
"""


def test_the_options_of_an_import_may_stand_in_the_file(imsprep: Run, image: Path) -> None:
    Path("imsprep.toml").write_text(PROFILED)
    done = imsprep("import", image, "--name", "a", "--type", "DataImage", "--dry-run", "--json")
    assert (done.code, done.json["body"]["min_disk"]) == (0, 40), done.err
    given = imsprep(
        "import",
        image,
        "--name",
        "a",
        "--type",
        "DataImage",
        "--min-disk",
        60,
        "--dry-run",
        "--json",
    )
    assert given.json["body"]["min_disk"] == 60


@pytest.mark.parametrize("by", ["option", "equals", "environment"])
def test_a_profile_comes_before_the_rest_of_the_file(
    imsprep: Run, image: Path, monkeypatch: pytest.MonkeyPatch, by: str
) -> None:
    Path("imsprep.toml").write_text(PROFILED)
    words = {"option": ["--profile", "prod"], "equals": ["--profile=prod"], "environment": []}[by]
    if by == "environment":
        monkeypatch.setenv("IMSPREP_PROFILE", "prod")
    done = imsprep("import", image, "--name", "a", *words, "--dry-run", "--json")
    assert (done.code, done.json["body"]["min_disk"]) == (0, 50), done.err
    shown = imsprep("config", "show", *words, "--json").json
    assert shown["settings"]["site"] == {"value": "otc", "origin": "imsprep.toml, profile prod"}
    assert shown["options"]["import"]["to"]["origin"] == "imsprep.toml [import]"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "[import]\nmin-dsk = 4",
            "imsprep.toml [import]: unknown key 'min-dsk'; did you mean 'min-disk'?",
        ),
        ("[imprt]\n", "unknown key 'imprt'; did you mean 'import'?"),
        ("import = 3", "'import' must be a table"),
        ('[profiles.prod]\nsit = "otc"', "profile prod: unknown key 'sit'; did you mean 'site'?"),
        ("[profiles.produce]\n", "there is no profile 'prod'; did you mean 'produce'?"),
        ("[import]\nmin-disk = [1, 2]", "'min-disk' must be one value"),
        ("[import]\nno-copy = 3", "'no-copy' must be true or false"),
    ],
)
def test_a_mistake_in_the_options_of_the_file_is_named(
    imsprep: Run, image: Path, text: str, said: str
) -> None:
    Path("imsprep.toml").write_text(text)
    done = imsprep("import", image, "--name", "a", "--profile", "prod")
    if "profiles" not in text:
        done = imsprep("import", image, "--name", "a")
    assert (done.code, said in done.err) == (2, True), done.err


def test_ids_on_the_command_line_may_be_parted_by_commas(imsprep: Run, image: Path) -> None:
    found = imsprep("check", image, "--select", "IMS111,IMS401", "--json").json
    assert {f["rule"] for f in found["images"][0]["findings"]} == {"IMS111", "IMS401"}


def test_config_show_refuses_an_option_that_the_command_would_refuse(
    imsprep: Run, image: Path
) -> None:
    config = image.with_name("imsprep.toml")
    config.write_text('[import]\nvai = "raw"\n')
    done = imsprep("config", "show", "--config", config)
    assert (done.code, "unknown key 'vai'; did you mean 'via'?" in done.err) == (2, True)
    config.write_text('[import]\nvia = "raw"\n')
    *_, last = imsprep("config", "show", "--config", config).out.splitlines()
    assert last.split()[:3] == ["import", "via", "raw"]
