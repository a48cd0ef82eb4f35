"""The documents say what is true: links lead somewhere, names exist, examples work, nothing is
left out."""

from __future__ import annotations

import importlib
import importlib.util
import json
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from cortex.cli.main import COMMANDS
from cortex.model.budget_document import TokenBudgetDocument
from cortex.model.definitions import (
    FollowUps,
    MasterBudget,
    MasterDefinition,
    MasterLimits,
    MasterPlan,
    PlanStep,
    ReviewRule,
    WorkerTypeDefinition,
    read_master,
    read_worker_type,
)
from cortex.model.paths import HomePaths
from cortex.model.personas import PersonaDefinition, read_persona
from cortex.model.requests import KINDS, StepRequest, TaskRequest, parse_request
from cortex.model.settings import MasterSettings, Settings
from cortex.model.worker_files import ResultsDocument
from cortex.runtime.environment import worker_environment

REPOSITORY = Path(__file__).parents[2]
DOCS = REPOSITORY / "docs"
PAGES = sorted(
    [*REPOSITORY.glob("*.md"), *DOCS.rglob("*.md"), *(REPOSITORY / "changes").glob("*.md")]
)
#: `masters.NAME.…` is also a key of the budget and of the settings.
_MASTERS = r"masters(?=[./](?:controller|library|reconcile))"
ROOMS = rf"model|decide|store|home|runtime|control|{_MASTERS}|cli|worker"


def name_of(path: Path) -> str:
    return str(path.relative_to(REPOSITORY))


def text_of(name: str) -> str:
    return (REPOSITORY / name).read_text(encoding="utf-8")


def blocks(name: str, language: str) -> list[str]:
    """The fenced blocks of a page in one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text_of(name), re.MULTILINE | re.DOTALL)


def prose(path: Path) -> str:
    """The page without its fenced blocks."""
    return re.sub(r"^```.*?^```", "", path.read_text("utf-8"), flags=re.MULTILINE | re.DOTALL)


def headings(path: Path) -> set[str]:
    """The anchors that a page's headings have on forges."""
    found = re.findall(r"^#+ (.+)$", prose(path), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in found}


def missing(words: Iterator[str] | list[str] | set[str], name: str) -> list[str]:
    """Words that a page does not have as code."""
    text = text_of(name)
    return sorted(word for word in words if not re.search(rf"`[^`]*\b{re.escape(word)}\b", text))


@pytest.fixture(scope="module")
def generator() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("generate_docs", DOCS / "generate.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module


def test_generated_pages_are_what_the_code_says(generator: ModuleType) -> None:
    for name, text in generator.pages().items():
        assert (DOCS / name).read_text(encoding="utf-8") == text, "run scripts/docs"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", prose(page)):
        if target.startswith(("https://", "http://", "mailto:")):
            continue
        file, _, anchor = target.partition("#")
        path = (page.parent / file).resolve() if file else page
        assert path.exists(), f"{name_of(page)} links to {target}"
        if anchor:
            assert anchor in headings(path), f"{name_of(page)} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=name_of)
def test_no_page_names_a_folder_of_somebodys_machine(page: Path) -> None:
    found = re.findall(r"(?<![\w.~])/(?:work|root|home|Users)/\S*", page.read_text("utf-8"))
    assert not found


def test_every_page_is_linked_from_the_readme_or_an_index() -> None:
    linked = {
        (page.parent / target.partition("#")[0]).resolve()
        for page in (REPOSITORY / "README.md", DOCS / "decisions/README.md")
        for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text("utf-8"))
    }
    orphans = [name_of(page) for page in DOCS.rglob("*.md") if page.resolve() not in linked]
    assert not orphans, "add a link under More in README.md"


def test_the_readme_is_read_in_five_minutes() -> None:
    words = re.findall(r"\w+", prose(REPOSITORY / "README.md"))
    assert len(words) < 5 * 220


def test_names_of_the_code_that_pages_give_exist() -> None:
    pattern = rf"`((?:{ROOMS})(?:\.(?!md)\w+)+|{ROOMS}/\w+(?:/\w+)*\.py)`"
    for page in PAGES:
        for name in re.findall(pattern, page.read_text("utf-8")):
            assert exists(name), f"{name_of(page)} names {name}"


def exists(name: str) -> bool:
    if name.endswith(".py"):
        return (REPOSITORY / "src/cortex" / name).is_file()
    parts = name.split(".")
    for length in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module("cortex." + ".".join(parts[:length]))
        except ModuleNotFoundError:
            continue
        for attribute in parts[length:]:
            found = getattr(found, attribute, None)
        return found is not None
    return False


def test_paths_of_the_project_that_pages_give_exist() -> None:
    pattern = r"`((?:src|tests|scripts|docs|schemas|bench|agents/masters)/[\w./-]+\w)`"
    for page in PAGES:
        for name in re.findall(pattern, page.read_text("utf-8")):
            placeholder = "NAME" in name
            assert placeholder or (REPOSITORY / name).exists(), f"{name_of(page)} names {name}"


def test_every_setting_is_described() -> None:
    keys = [
        key
        for name, field in Settings.model_fields.items()
        if name != "masters"
        for key in field.annotation.model_fields  # type: ignore[union-attr]
    ]
    assert not missing([*keys, *MasterSettings.model_fields], "docs/settings.md")


def test_settings_that_pages_name_exist() -> None:
    sections = "|".join(name for name in Settings.model_fields if name != "masters")
    for page in PAGES:
        for section, key in re.findall(rf"`({sections})\.([a-z_]+)`", page.read_text("utf-8")):
            model: Any = Settings.model_fields[section].annotation
            of_a_master = page.name == "masters.md" and section == "budget"
            assert of_a_master or key in model.model_fields, f"{name_of(page)}: {section}.{key}"


def test_every_command_is_described() -> None:
    assert not [name for name in COMMANDS if f"### `cortex {name}`" not in text_of("docs/cli.md")]


def test_commands_that_pages_name_exist() -> None:
    for page in PAGES:
        if page.name == "TODO.md":
            continue  # it tells of commands that are to come
        for name in re.findall(r"(?:^ {4}|`)cortex ([a-z]+)", page.read_text("utf-8"), re.M):
            assert name in COMMANDS, f"{name_of(page)} names cortex {name}"


def test_every_kind_of_request_and_every_field_of_a_task_is_described() -> None:
    assert not missing([*KINDS], "docs/files.md")
    fields = {*TaskRequest.model_fields, *StepRequest.model_fields} - {"kind", "fallback"}
    assert not missing(fields, "docs/files.md")


def test_every_field_of_a_definition_is_described() -> None:
    models = (MasterDefinition, MasterPlan, PlanStep, FollowUps, MasterBudget, MasterLimits)
    text = text_of("docs/masters.md")
    for model in (*models, ReviewRule, WorkerTypeDefinition, PersonaDefinition):
        assert f"<!-- keys of {model.__name__} -->" in text
        fields = model.model_fields.items()
        kept = {"prompt", "path", "called"}
        assert [name for name, one in fields if not one.description and name not in kept] == []


def test_every_number_of_the_budget_is_described() -> None:
    schema = TokenBudgetDocument.model_json_schema()
    numbers = set(schema["properties"]) | {
        name for part in schema["$defs"].values() for name in part["properties"]
    }
    numbers -= {"version", "format", "updated_at", "journal_seq", "masters", "worker_pool"}
    numbers -= {"emergency_reserve", "usage_metrics", "spent", "allocated", "total"}
    assert not [name for name in numbers if name not in text_of("docs/budget.md")]


def test_the_whole_worker_contract_is_described() -> None:
    given = worker_environment(
        worker_id="w", task_id="t", attempt=1, worker_dir="/d", inputs="/i", daemon_env={}
    )
    assert not missing([*given, *ResultsDocument.model_fields], "docs/worker-contract.md")


def test_every_path_of_a_home_is_described() -> None:
    root = Path("/h")
    paths = HomePaths(root)
    names = {
        value.name
        for name, part in vars(HomePaths).items()
        if isinstance(part, property) and isinstance(value := getattr(paths, name), Path)
    }
    text = text_of("docs/files.md")
    assert not [name for name in names if name not in text]


def test_every_dependency_is_accounted_for() -> None:
    project = tomllib.loads(text_of("pyproject.toml"))
    wanted = [*project["project"]["dependencies"], *project["dependency-groups"]["dev"]]
    names = [re.split(r"[<>=!~ ]", line)[0].lower() for line in wanted]
    text = text_of("docs/dependencies.md").lower()
    assert not [name for name in names if not re.search(rf"\b{re.escape(name)}\b", text)]


def test_example_requests_are_accepted() -> None:
    examples: list[Any] = [json.loads(text) for text in blocks("docs/files.md", "json")[:1]]
    examples += [yaml.safe_load(text) for text in blocks("docs/files.md", "yaml")]
    assert len(examples) == 2
    for example in examples:
        assert isinstance(parse_request(example), TaskRequest)


def test_example_definitions_can_be_read() -> None:
    master, worker_type, persona = blocks("docs/masters.md", "markdown")
    assert read_master(master, Path("welcome-master.md")).routes == ["welcome"]
    assert read_worker_type(worker_type, Path("spelling-worker.md")).timeout == 300
    assert read_persona(persona, Path("kind-editor.md")).capabilities
    for text in blocks("docs/masters.md", "yaml"):
        part = yaml.safe_load(text)
        model = MasterDefinition if part.keys() & {"plans", "follow_ups"} else WorkerTypeDefinition
        model.model_validate({"name": "mine", **part})
    (feature,) = blocks("docs/masters.md", "json")
    assert parse_request(json.loads(feature)).scope.parts


def test_example_results_keep_the_contract(tmp_path: Path) -> None:
    heartbeat, results = blocks("docs/worker-contract.md", "json")
    assert json.loads(heartbeat)["progress"] == 0.5
    ResultsDocument.model_validate_json(results)
    (program,) = blocks("docs/worker-contract.md", "python")
    (tmp_path / "spec.json").write_text("{}")
    env = {
        "CORTEX_SPEC": str(tmp_path / "spec.json"),
        "CORTEX_RESULTS": str(tmp_path / "results.json"),
    }
    subprocess.run([sys.executable, "-c", program], env=env, check=True)
    ResultsDocument.model_validate_json((tmp_path / "results.json").read_bytes())
    assert (tmp_path / "artifacts/report.md").is_file()


def test_changes_say_of_what_kind_they_are() -> None:
    for path in (REPOSITORY / "changes").iterdir():
        kind = path.name.split(".")[-2:]
        assert path.name == "README.md" or kind in (
            [word, "md"] for word in ("added", "changed", "fixed", "removed")
        ), f"changes/{path.name}: its name ends in .KIND.md"


def test_a_release_takes_the_changes_into_the_changelog(tmp_path: Path) -> None:
    (tmp_path / "scripts").mkdir()
    (tmp_path / "changes").mkdir()
    shutil.copy(REPOSITORY / "scripts/changelog", tmp_path / "scripts")
    (tmp_path / "CHANGELOG.md").write_text("# Changes\n\n<!-- releases -->\n\n## 0.1.0\n")
    (tmp_path / "changes/b.fixed.md").write_text("No more of that.\n")
    (tmp_path / "changes/a.added.md").write_text("Something new,\nin two lines.\n")
    (tmp_path / "changes/README.md").write_text("How.\n")
    command = [tmp_path / "scripts/changelog", "0.2.0"]
    subprocess.run(command, check=True, capture_output=True)
    text = (tmp_path / "CHANGELOG.md").read_text()
    assert re.search(
        r"## 0\.2\.0 \([\d-]+\)\n\n### Added\n\n- Something new,\n  in two lines\.\n"
        r"\n### Fixed\n\n- No more of that\.\n\n## 0\.1\.0\n",
        text,
    )
    assert [path.name for path in (tmp_path / "changes").iterdir()] == ["README.md"]
    assert subprocess.run(command, capture_output=True).returncode == 1


def test_the_how_tos_are_in_the_formats_that_they_show() -> None:
    task = parse_request(yaml.safe_load(blocks("docs/how-to.md", "yaml")[0]))
    assert isinstance(task, TaskRequest)
    assert len(task.workers) == 4
    Settings.model_validate(tomllib.loads(blocks("docs/how-to.md", "toml")[0]))
    for script in blocks("docs/how-to.md", "bash"):
        subprocess.run(["bash", "-n", "-c", script], check=True)
