"""The schemas are current, proper, and say yes to what is really written."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from cortex.home import create_home
from cortex.model.findings import Finding
from cortex.model.schemas import all_schemas, schema_text
from cortex.model.worker_files import FindingRow

REPOSITORY = Path(__file__).parents[2]
SCHEMAS = all_schemas()

sys.path.insert(0, str(REPOSITORY / "tests/unit/home"))


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(SCHEMAS[f"{name}.schema.json"])


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_schema_file_is_what_the_models_say(name: str) -> None:
    path = REPOSITORY / "schemas" / name
    assert path.read_text() == schema_text(SCHEMAS[name]), "run scripts/schemas"


@pytest.mark.parametrize("name", sorted(SCHEMAS))
def test_the_schema_is_a_proper_one_with_id_and_title(name: str) -> None:
    schema = SCHEMAS[name]
    Draft202012Validator.check_schema(schema)
    assert schema["$id"].startswith("urn:cortex:schema:")
    assert schema["title"]
    assert "Generated" in schema["$comment"]


def test_no_schema_file_is_left_over() -> None:
    assert {path.name for path in (REPOSITORY / "schemas").glob("*.json")} == set(SCHEMAS)


def test_the_documents_of_a_home_validate_and_stray_fields_do_not_matter(tmp_path: Path) -> None:
    from sample_home import security_scan

    home = security_scan(tmp_path / "home")
    for path in home.paths.documents:
        document = json.loads(path.read_bytes())
        validator(path.stem).validate(document)
        validator(path.stem).validate({**document, "mine": 1})
    for line in min(home.paths.journal.glob("*.jsonl")).read_text().splitlines():
        validator("journal-line").validate(json.loads(line))


@pytest.mark.parametrize(
    "task",
    [
        {"title": "x"},
        {"type": "security-scan", "priority": "normal", "timeout": "15m"},
        {"command": ["make", "test"], "timeout": 90, "env": {"A": "1"}},
        {"workers": [{"name": "api", "worker_type": "implementation", "timeout": "1h30m"}]},
    ],
)
def test_what_people_write_is_accepted(task: dict[str, Any]) -> None:
    validator("task").validate(task)
    validator("request").validate(task)


@pytest.mark.parametrize(
    "task", [{"priority": "urgent"}, {"timeout": "soon"}, {"retries": -1}, {"needs": "task-1"}]
)
def test_what_nobody_could_mean_is_refused(task: dict[str, Any]) -> None:
    assert list(validator("task").iter_errors({"title": "x", **task}))


def test_the_front_matter_of_every_template_validates(tmp_path: Path) -> None:
    from cortex.model.definitions import read_front_matter

    root = create_home(tmp_path / "home").root
    for folder, name in (("masters", "master"), ("prompts/workers", "worker-type")):
        for path in (root / "agents" / folder).glob("*.md"):
            front, _ = read_front_matter(path.read_text(), path)
            validator(name).validate(front)


def test_a_finding_has_the_fields_of_its_normal_form() -> None:
    assert set(FindingRow.model_fields) == set(Finding.__annotations__)
