"""The house: sizes, names, docstrings, arrows between rooms, what a quick command imports."""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SOURCE = REPOSITORY / "src" / "cortex"
#: Lines of a file and of a function at most; most are far below. Tests, whose data stand in them,
#: may have more.
FILE_LINES, FUNCTION_LINES = 500, 60
NO_ROOM = {"utils", "util", "helpers", "helper", "common", "manager", "misc", "shared", "stuff"}


def files(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in (REPOSITORY / folder).rglob("*.py")]
    return sorted(path for path in found if "__pycache__" not in path.parts)


CODE = files("src")
ALL = files("src", "tests", "bench")


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def functions(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_a_file_has_one_subject_and_fits_its_reader(path: Path) -> None:
    lines = len(path.read_text(encoding="utf-8").splitlines())
    limit = FILE_LINES if path in CODE else 2 * FILE_LINES
    assert lines <= limit, f"{name_of(path)} has {lines} lines; split it by subject"


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_a_function_fits_a_screen(path: Path) -> None:
    long = {
        f"{node.name} (line {node.lineno})": (node.end_lineno or 0) - node.lineno + 1
        for node in functions(path)
    }
    limit = FUNCTION_LINES if path in CODE else 1.5 * FUNCTION_LINES
    assert {name: lines for name, lines in long.items() if lines > limit} == {}


def test_most_functions_are_short() -> None:
    lengths = sorted(
        (node.end_lineno or 0) - node.lineno + 1 for path in CODE for node in functions(path)
    )
    assert lengths[len(lengths) // 2] <= 12
    assert lengths[len(lengths) * 9 // 10] <= 31


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_no_file_is_called_after_nothing(path: Path) -> None:
    assert not NO_ROOM.intersection((path.stem, *path.relative_to(REPOSITORY).parts[:-1]))


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_every_module_says_what_it_is_for(path: Path) -> None:
    if path.stat().st_size == 0:
        pytest.skip("an empty package marker")
    assert ast.get_docstring(tree_of(path)), f"{name_of(path)} has no docstring"


def public(path: Path) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef]:
    for node in tree_of(path).body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            yield node


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_public_names_have_docstrings(path: Path) -> None:
    bare = [
        node.name
        for node in public(path)
        if not node.name.startswith("_") and not ast.get_docstring(node)
    ]
    assert bare == []


@pytest.mark.parametrize("path", CODE, ids=name_of)
def test_all_names_what_is_there(path: Path) -> None:
    listed = [
        ast.literal_eval(node.value)
        for node in tree_of(path).body
        if isinstance(node, ast.Assign)
        and any(isinstance(name, ast.Name) and name.id == "__all__" for name in node.targets)
    ]
    for names in listed:
        assert len(set(names)) == len(names)
        text = path.read_text(encoding="utf-8")
        assert [name for name in names if text.count(name) < 2] == []


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module or "")
    return names


@pytest.mark.parametrize("path", sorted((SOURCE / "decide").glob("*.py")), ids=name_of)
def test_deciding_reads_no_clock_no_file_and_no_dice(path: Path) -> None:
    impure = {"time", "os", "random", "subprocess", "socket", "threading", "shutil"}
    roots = {name.partition(".")[0] for name in imported(path)}
    assert roots & impure == set()
    calls = {
        ast.unparse(node.func) for node in ast.walk(tree_of(path)) if isinstance(node, ast.Call)
    }
    assert not calls & {"open", "datetime.now", "datetime.utcnow", "datetime.today", "Path"}


def test_the_shim_and_the_bare_nursery_need_the_standard_library_alone() -> None:
    named_too = {"failpoints", "formats", "errors"}
    files = [SOURCE / "model" / f"{name}.py" for name in sorted(named_too)]
    files += [*sorted((SOURCE / "runtime").glob("shim*.py"))]
    files += [SOURCE / "runtime" / "nursery.py", SOURCE / "runtime" / "nursery_birth.py"]
    allowed = {"cortex", *(f"cortex.model.{name}" for name in named_too)}
    near = ("shim", "cortex.runtime.shim", "cortex.runtime.nursery", "cortex.runtime.processes")
    for path in files:
        outside = {
            name
            for name in imported(path)
            # `_sha2` is the standard library's from Python 3.12 on
            if name.partition(".")[0] not in sys.stdlib_module_names | {"_sha2"}
            and name not in allowed
            and not name.startswith(near)
        }
        assert outside == set(), name_of(path)


def test_the_rooms_arrows_go_one_way() -> None:
    program = Path(sys.executable).parent / "lint-imports"
    found = subprocess.run(
        [str(program), "--no-cache"], cwd=REPOSITORY, capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stdout + found.stderr


def test_every_room_stands_in_a_contract() -> None:
    """A new room without an arrow would be one that may import everything."""
    rooms = {path.name for path in SOURCE.iterdir() if (path / "__init__.py").is_file()}
    text = (REPOSITORY / "pyproject.toml").read_text(encoding="utf-8")
    contracts = text[text.index("[tool.importlinter]") :]
    outside = {"testing"}  # may import all, and is imported by tests alone
    assert {room for room in rooms - outside if room not in contracts} == set()


# --- what a quick command costs


def modules_of(tmp_path: Path, code: str) -> set[str]:
    """The modules that a fresh interpreter has loaded after running this."""
    program = f"{code}\nimport json, sys\nprint(json.dumps(sorted(sys.modules)), file=sys.stderr)"
    environment = {**os.environ, "CORTEX_HOME": str(tmp_path)}
    found = subprocess.run(
        [sys.executable, "-c", program],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    return set(json.loads(found.stderr.splitlines()[-1]))


HEAVY = {"rich", "watchdog", "jsonschema", "yaml", "structlog", "bandit", "asyncio"}
#: typer loads pydantic by itself from some version on; our own modules that stand on it stay out.
ON_PYDANTIC = {
    ".".join(path.relative_to(SOURCE.parent).with_suffix("").parts)
    for path in CODE
    if any(
        isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pydantic")
        for node in tree_of(path).body
    )
}


_INIT = "from pathlib import Path; from cortex.home import create_home; create_home(Path({!r}))"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home as `cortex init` makes it."""
    folder = tmp_path_factory.mktemp("house") / "home"
    modules_of(folder.parent, _INIT.format(str(folder)))
    return folder


@pytest.mark.parametrize("kind", ["tasks", "workers", "handoffs", "budget"])
def test_listing_imports_nothing_heavy(home: Path, kind: str) -> None:
    start = f"""
import sys
from cortex.cli.main import main
sys.argv = ["cortex", "get", "{kind}"]
try:
    main()
except SystemExit as done:
    assert not done.code, done.code
"""
    loaded = modules_of(home, start)
    assert {name.partition(".")[0] for name in loaded} & HEAVY == set()
    assert len(ON_PYDANTIC) > 3
    assert loaded & ON_PYDANTIC == set()


def test_the_daemon_side_is_not_imported_by_a_client(tmp_path: Path) -> None:
    loaded = modules_of(tmp_path, "import cortex.cli.main, cortex.home")
    rooms = ("decide", "store", "control", "masters", "runtime", "daemon", "serving")
    assert {
        name for name in loaded if name.startswith(tuple(f"cortex.{r}" for r in rooms))
    } == set()


def test_nothing_in_the_tree_names_the_machine_that_it_was_built_on() -> None:
    """Absolute paths of a checkout have no place in what is shipped."""
    folders = ("src", "agents", "schemas", "docs", "scripts")
    paths = [path for folder in folders for path in (REPOSITORY / folder).rglob("*")]
    here = str(REPOSITORY)
    named = [
        name_of(path)
        for path in paths
        if path.is_file()
        and "__pycache__" not in path.parts
        and here in path.read_text(encoding="utf-8", errors="ignore")
    ]
    assert named == []
