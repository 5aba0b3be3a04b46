"""The house rules: imports point down, the core is pure, functions and lines of prose stay small.

`RUNGS` and `ORDER` are the plan of the house; docs/architecture.md tells what each package owns.
"""

from __future__ import annotations

import ast
import functools
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.house import PURE
from tests.support.paths import ROOT
from tests.support.syntax import nodes, tree

PACKAGE = ROOT / "imsprep"
SUPPORT = ROOT / "tests" / "support"  # what tests share, in the folders of the package
MOST_MODULES = 15  # in a folder; docs/architecture.md has the number too

# A package imports lower rungs only; packages of one rung do not know each other.
RUNGS = {
    "units": 0, "errors": 0, "report": 0, "progress": 0, "keywords": 0, "options": 0,
    "callable_package": 0,
    "project": 0, "extras": 0,
    "system": 1,
    "cloud": 2, "image": 2,
    "scan": 3, "store": 3,
    "bitmap": 4, "zvhd2": 4, "ims": 4,
    "upload": 5, "guest": 5, "trial": 5,
    "checks": 6,
    "pipeline": 7, "emulator": 7,
    "service": 8,
    "api": 9,
    "cli": 10,
    "__main__": 11,
}  # fmt: skip

# Inside a package: a module imports only what stands before it.
ORDER = {
    "system": """
        regular
        atomic
        locking
        buffers
        malloc
        mounts
        pagecache
        ownership
        lease
        paths
        positioned
        statefile
        sparse
        threads
        writeback
    """,
    "cloud": """
        answer_limits
        certificates
        credentials
        endpoints
        network_faults
        os_names
        sites
        partners
    """,
    "image": """
        blockmap
        digest
        disk
        not_a_disk
        formats
        folders
        tables.survey
        tables.descriptor
        archive.ovf
        pieces
        identity
        file
        digest_disk
        readonly_file
        crc32c
        volumes.superblocks
        volumes.signatures
        volumes.labels
        volumes.partitions
        tables.bochs
        tables.cloop
        tables.dmg
        tables.parallels
        tables.qcow
        tables.qcow2
        tables.qed
        tables.vdi
        tables.vhd
        tables.vhdx
        tables.vmdk
        qemu.nbd_client
        qemu.nbd_file
        qemu.foreign
        qemu.split
        qemu.program
        qemu.whole
        qemu.nbd_disk
        archive.tar
        archive.ova
        archive.stream
        archive.unpack
        archive.unpacked
    """,
    "scan": """
        probe
        protocol
        pool
        holes
        bench.figures
        worker
        schedule
        scan
        other_formats
        bench.synthetic
        bench.scan_estimate
    """,
    "store": """
        contract
        etags
        md5_of_zeros
        object_ownership
        bucket
        directory_uploads
        obs_errors
        obs_connection
        obs
        retry
        directory
        target
    """,
    "bitmap": """
        export_formats
        facts
        layout
        learn.probe
        learn.constants
        bits
        codec
        layout_json
        learn.bodies
        sidecar
        inspect
        export
        write
        verify
        learn.fields
        learn.search
        learn.files
    """,
    "ims": """
        error_codes
        job
        listed
        request
        client
        region
        wait
        submit
    """,
    "zvhd2": """
        records
        codec
        faults
        examine
        reader
        writer
        stream
        extract
        verify
        source
        convert
    """,
    "guest": """
        chain.values
        fs.blkid
        fs.interface
        fs.lvm
        fs.md
        fs.ranges
        fs.xfs_log
        linux.ini
        linux.udev
        linux.initramfs
        model
        paths
        windows.release
        firmware
        fs.dissect
        fs.libyal
        fs.identify
        linux.fstab
        linux.mount_options
        linux.os_release
        linux.sshd
        sandbox
        tree
        linux.card_name
        linux.network
        linux.libraries
        linux.programs
        snapshot
        ostree
        windows.registry
        linux.cloud_init
        chain.devices
        chain.bls
        chain.grub.objects
        chain.grub.modules
        chain.grub.folder
        chain.grub.core_image
        chain.mbr
        chain.efi
        chain.grub.syntax
        chain.files
        chain.grub.state
        chain.grub.conditions
        chain.grub.commands
        chain.grub.effects
        chain.grub.script
        chain.found
        chain.grub.route
        chain.menus
        chain.bios
        chain.systemd_boot
        chain.uefi
        chain.routes
        fs.features
        fs.volumes
        linux.initramfs_actions
        linux.kernels
        chain.kernel_config
        chain.images
        inspect
        child
        linux.locate
    """,
    "trial": """
        plan
        screen
        verdict
        metadata
        qmp
        metadata_server
        nbd_server
        programs
        run
    """,
    "upload": """
        parts.body
        complete
        journal
        partlog
        values
        plan
        parts.pool
        parts.verify
        parts.zeros
        parts.send
        cleanup
        resume
        transfer
        file
        stream
    """,
    "checks": """
        facts
        naming
        passed_words
        policy
        reporters.picture
        rule
        gather_facts
        reporters.text
        reporters.github
        reporters.template
        reporters.html
        reporters.json
        reporters.junit
        reporters.sarif
        rules.bitmap
        rules.file
        subject.guest
        subject.disk
        subject.boot_mode
        rules.trial
        rules.partition_table
        rules.firmware
        rules.volumes
        rules.request
        rules.site
        rules.zvhd2
        fixes
        rules.guest.system
        rules.guest.windows
        rules.online
        rules.tags
        rules.guest.distribution
        rules.guest.leftovers
        subject.boot_entry
        rules.guest.network
        rules.guest.chain.stops
        rules.guest.chain.init
        rules.guest.chain.lvm
        rules.guest.chain.loader
        rules.guest.chain.root
        rules.guest.chain.drivers
        rules.guest.chain.opens
        rules.guest.chain.waits
        rules.guest.chain.console
        rules.guest.chain.mounts
        rules.guest.chain.filesystems
        rules.guest.chain.mount_options
        chain
        summary
        registry
        check
    """,
    "emulator": """
        faults
        signature
        validate
        materialise
        jobs
        kept
        listing
        answers
        app
        server
    """,
    "pipeline": """
        from_options
        ask_cloud
        container.kept
        container.streamed
        container.convert_object
        digests
        ova.proposal
        ova.all_disks
        upload_formats
        machine
        demo_disk
        info
        manifest
        kept_files
        values
        check_import
        prepare
        send
        ship
        import_task
        batch.executors
        batch.plan
        batch.entries
        batch.values
        batch.loop
        batch.journal
        batch.reports.rows
        batch.reports.text
        batch.reports.json
        batch.reports.html
        batch.read
        batch.run_entry
        batch.run
    """,
    "api": """
        events
        bitmaps
        stores
        converting
        services
        images
        machine
        imports
        batches
    """,
    "cli": """
        progress.board
        screen
        wrong_usage
        progress.rates
        progress.bars
        help.completion
        options.common
        options.output
        settings.layers
        help.sections
        settings.configured
        options.packing
        options.request
        options.scan
        options.target
        options.transfer
        progress.upload
        commands.machine.completion
        commands.machine.doctor
        commands.machine.man
        progress.watcher
        commands.machine.bench
        commands.imports.boot
        commands.steps.bitmap
        commands.machine.config
        commands.steps.convert
        commands.steps.digest
        commands.imports.info
        commands.steps.upload
        commands.steps.uploads
        commands.steps.verify
        options.importing
        options.service
        commands.imports.check
        commands.machine.demo
        commands.machine.emulator
        commands.imports.import_
        commands.machine.os_versions
        commands.imports.wait
        commands.imports.batch
    """,
}

MAX_FUNCTION_LINES = 40
MAX_PROSE_WIDTH = 100  # as the code

# Longer on purpose; each with its reason.
LONG_FUNCTIONS: dict[str, str] = {}

MAX_PARAMETERS = 5  # more are a value: a task, a place, the options of a call
# More on purpose; each with its reason.
MANY_PARAMETERS = {
    "rule": "a declaration, as that of a click option: its keywords are a Rule's fields"
}

MODULES = {
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__"): path
    for path in sorted(PACKAGE.rglob("*.py"))
}
# Written by hand; what `make docs` writes has the lines of its tables and help texts.
PAGES = [
    *ROOT.glob("*.md"),
    *(page for page in (ROOT / "docs").glob("*.md") if page.name != "benchmarks.md"),
]


@functools.cache
def imports(path: Path) -> tuple[str, ...]:
    """Return the modules that a file imports when it runs, as dotted names."""
    return tuple(_imports(path))


def running(path: Path) -> Iterator[ast.AST]:
    """Yield the nodes of a file that count when it runs: no imports for types alone."""
    guarded = {
        id(child)
        for node in nodes(path)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for child in ast.walk(node)
    }
    return (node for node in nodes(path) if id(node) not in guarded)


def _imports(path: Path) -> Iterator[str]:
    for node in running(path):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                inner = f"{node.module}.{alias.name}"
                yield inner if inner in MODULES else node.module


def named(path: Path) -> Iterator[str]:
    """Yield each name that a file imports of this program when it runs, with its module."""
    for node in running(path):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("imsprep."):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def package_of(module: str) -> str:
    return [*module.split("."), ""][1]


def own(module: str) -> set[str]:
    """Return the imports of a module that are of this program; the root is its version alone."""
    return {name for name in imports(MODULES[module]) if name.startswith("imsprep.")}


def test_a_package_imports_lower_rungs_only() -> None:
    assert [
        f"{module} imports {name}"
        for module in MODULES
        if (here := package_of(module)) and RUNGS[here] > 0
        for name in own(module)
        if (there := package_of(name)) != here and RUNGS[there] >= RUNGS[here]
    ] == []


def test_no_folder_is_a_corridor() -> None:
    files = [*MODULES.values(), *SUPPORT.rglob("*.py")]
    folders = Counter(p.parent for p in files if p.name != "__init__.py")
    assert {f.name: n for f, n in folders.items() if n > MOST_MODULES} == {}


def test_a_package_says_which_module_to_open_first() -> None:
    for path in (path for path in MODULES.values() if path.name == "__init__.py"):
        doc = ast.get_docstring(tree(path)) or ""
        named = [name.partition(".")[0] for name in re.findall(r"`([\w/.]+)`", doc)]
        there = [name for name in named if any(path.parent.glob(f"{name}.py"))
                 or (path.parent / name).is_dir()]  # fmt: skip
        assert there, f"{path}: name the module with which to begin"
        assert set(re.findall(r"Begin with `(\w+)`", doc)) <= set(there), path


@pytest.mark.parametrize("package", ORDER)
def test_the_order_of_a_package_names_each_of_its_modules_once(package: str) -> None:
    there = {m.split(".", 2)[2] for m, path in MODULES.items()
             if package_of(m) == package and path.name != "__init__.py"}  # fmt: skip
    assert sorted(ORDER[package].split()) == sorted(there)


@pytest.mark.parametrize("package", ORDER)
def test_a_module_imports_only_what_stands_before_it(package: str) -> None:
    order = [f"imsprep.{package}.{name}" for name in ORDER[package].split()]
    for place, module in enumerate(order):
        later = own(module) & set(order[place:])
        assert not later, f"{module} imports {later}"


# What reaches outside: modules, and calls by name. `tests.support.house` watches the rest at work.
OUTSIDE = {"socket", "threading", "_thread", "subprocess", "time", "random", "secrets", "tempfile", "shutil", "mmap", "fcntl", "glob", "requests", "concurrent", "multiprocessing"}  # fmt: skip
REACHES = {"open", "print", "input", "read_text", "read_bytes", "write_text", "write_bytes", "unlink", "mkdir", "iterdir", "getenv", "urlopen", "urandom", "system", "fsync"}  # fmt: skip


def test_the_core_reaches_nothing_outside() -> None:
    for module in sorted(PURE):
        outside = {name.split(".")[0] for name in imports(MODULES[module])} & OUTSIDE
        assert not outside, f"{module} imports {outside}"
        for node in nodes(MODULES[module]):
            if isinstance(node, ast.Call):
                called = node.func.attr if isinstance(node.func, ast.Attribute) else ""
                called = node.func.id if isinstance(node.func, ast.Name) else called
                assert called not in REACHES, f"{module}:{node.lineno} calls {called}"


def test_the_core_imports_only_the_core() -> None:
    for module in sorted(PURE):
        # How a part is installed is found out when its error is shown, not before.
        for name in own(module) - ({"imsprep.extras"} if module == "imsprep.errors" else set()):
            pure = name in PURE or MODULES[name].name == "__init__.py"
            values = ("units", "errors", "report", "options", "progress")
            assert pure or package_of(name) in values, f"{module} imports {name}"


def functions() -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """Yield every function of the package with the name of its module."""
    for module, path in MODULES.items():
        for node in nodes(path):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield module, node


def test_a_function_is_small() -> None:
    for module, node in functions():
        # Decorators are declarations (a command's options), not the function's work.
        lines = (node.end_lineno or node.lineno) - node.lineno + 1
        small = lines <= MAX_FUNCTION_LINES or node.name in LONG_FUNCTIONS
        assert small, f"{module}.{node.name} has {lines} lines"


def test_a_function_has_few_parameters() -> None:
    for module, node in functions():
        all_ = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
        names = [one.arg for one in all_ if one.arg not in ("self", "cls")]
        few = len(names) <= MAX_PARAMETERS or node.name in MANY_PARAMETERS
        assert few, f"{module}.{node.name} has {len(names)} parameters"


def test_nothing_but_the_front_door_imports_the_emulator() -> None:
    for module in MODULES:
        if package_of(module) not in ("emulator", "service") and module != "imsprep.api.services":
            used = [n for n in imports(MODULES[module]) if n.startswith("imsprep.emulator")]
            assert not used, module


# What the command line knows: the front door, options, values, tables, and what writes reports.
DOOR = (
    "imsprep.api", "imsprep.cli", "imsprep.options", "imsprep.progress", "imsprep.errors",
    "imsprep.report", "imsprep.units", "imsprep.project", "imsprep.checks.reporters",
    "imsprep.pipeline.batch.reports",
    "imsprep.cloud.sites", "imsprep.cloud.endpoints", "imsprep.cloud.partners",  # tables of names
)  # fmt: skip
# Single names of other modules, each a value or what reads and writes one.
VALUES = {
    "imsprep.checks": {"rule"},  # why rules are skipped
    "imsprep.checks.policy": {"Waiver"},
    "imsprep.extras": {"install_command"},
    "imsprep.pipeline.batch.entries": {"KEYS", "read_value"},
    "imsprep.store.contract": {"STANDARD"},
    "imsprep.store.target": {"DEFAULT_BUCKET", "is_target"},
    "imsprep.system.atomic": {"write_bytes"},  # of reports
}


def test_the_command_line_is_a_client_of_the_front_door_alone() -> None:
    allowed = {f"{place}.{name}" for place, names in VALUES.items() for name in names}
    doors = tuple(f"{door}." for door in DOOR)
    assert [
        f"{module} imports {name}"
        for module in MODULES
        if module.startswith("imsprep.cli.")
        for name in named(MODULES[module])
        if name not in allowed and not f"{name}.".startswith(doors)
    ] == []


TESTS = sorted((ROOT / "tests").rglob("test_*.py"))


def has_test(module: str) -> bool:
    """Return whether a module, or the package of it, has a test file at the same path."""
    name = module.removeprefix("imsprep.")
    ways = [name, name.rpartition(".")[0]] if "." in name else [name]
    return any((ROOT / "tests" / f"{w.replace('.', '/')}.py").with_name(
        f"test_{w.rpartition('.')[2]}.py").exists() for w in ways)  # fmt: skip


def does_something(path: Path) -> bool:
    """Return whether a module has a function with a statement, and not only declarations."""
    functions = (n for n in nodes(path) if isinstance(n, ast.FunctionDef | ast.AsyncFunctionDef))
    return any(not isinstance(one, ast.Expr) for function in functions for one in function.body)


def test_a_module_has_a_test_file_of_its_path() -> None:
    without = {m for m, path in MODULES.items()
               if path.name != "__init__.py" and does_something(path) and not has_test(m)}  # fmt: skip
    assert without == set(), "give it a test file at the same path below tests/"


# Members that only look private: those of named tuples, and of Python itself.
OPEN = {"_replace", "_fields", "_field_defaults", "_exit", "_getframe", "_count"}
# What a test has to reach into, and why nothing public does.
REACHED = {
    "_umask",  # kept for the whole process: no call makes it be asked again
    "_free",  # a second thread comes between two of its steps, which no caller can have
}


def private_names(path: Path) -> set[str]:
    """Return the private names of other objects that a test uses or replaces."""
    private = re.compile(r"(?:.*\.)?(_[A-Za-z]\w*)")
    used, named = set[str](), set[str]()
    for node in nodes(path):
        if isinstance(node, ast.Attribute) and private.fullmatch(node.attr):
            if ast.unparse(node.value) not in ("self", "cls", "super()"):
                used.add(node.attr)
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute | ast.Name):
            call = node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id
            texts = node.args[:2] if call in ("setattr", "delattr", "getattr", "patch") else []
            named |= {str(text.value) for text in texts if isinstance(text, ast.Constant)}
    return used | {found[1] for name in named if (found := private.fullmatch(name))}


def test_a_test_reaches_into_nothing_private() -> None:
    found = {name: path for path in (ROOT / "tests").rglob("*.py") for name in private_names(path)}
    assert {name: found[name] for name in found.keys() - OPEN - REACHED} == {}
    assert REACHED - found.keys() == set(), "no test needs it any more: take it off the list"


def test_what_tests_share_is_in_the_folders_of_the_package() -> None:
    folders = {p.parent.relative_to(SUPPORT) for p in SUPPORT.rglob("*.py")}
    assert [f for f in folders if not (PACKAGE / f).is_dir()] == []


def test_no_test_file_imports_another() -> None:
    for path in TESTS:
        for name in imports(path):
            another = re.fullmatch(r"tests(\.\w+)*\.test_\w+(\.\w+)?", name)
            assert not another, f"{path} imports {name}"


CODE = [path for folder in ("imsprep", "tests", "fixtures", "benchmarks", "docs")
        for path in sorted((ROOT / folder).rglob("*.py"))]  # fmt: skip
# What a checker is not to see, and what has to follow it: the reason.
UNCHECKED = re.compile(r"# (?:type: ignore\b(?!\[[\w,-]+\]  # \w)|noqa\b(?!: [A-Z]+\d+ - \w)"
                       r"|pragma: no cover\b(?! - \w))")  # fmt: skip


def test_a_line_that_no_checker_sees_says_why() -> None:
    here = Path(__file__)
    for path in (path for path in CODE if path != here):
        for number, line in enumerate(path.read_text().splitlines(), 1):
            assert not UNCHECKED.search(line), f"{path}:{number}: a reason is missing"


def test_the_prose_of_a_page_is_wrapped() -> None:
    for page in PAGES:
        fenced = False
        for number, line in enumerate(page.read_text().splitlines(), 1):
            fenced ^= line.lstrip().startswith("```")
            # A table's row, a heading and what cannot be broken stay on one line.
            if not fenced and not line.startswith(("|", "#")) and " " in line.strip():
                wrapped = len(line) <= MAX_PROSE_WIDTH
                assert wrapped, f"{page.name}:{number} has {len(line)} characters"
