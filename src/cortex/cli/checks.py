"""What `cortex validate` checks: each file of a home, by what it is. Problems are values."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from cortex.cli.definition_checks import between_definitions, check_definition
from cortex.cli.field_lines import line_of_field
from cortex.cli.problem import Problem
from cortex.model.errors import RequestError, SettingsError, WrongField
from cortex.model.paths import DOCUMENT_NAMES, HomePaths, definitions_in

if TYPE_CHECKING:
    from pydantic import BaseModel

__all__ = ["Problem", "check_file", "check_home", "edited_by_hand"]


def check_file(path: Path) -> list[Problem]:
    """The problems of one file, judged by its name and content; none if it can be used."""
    try:
        data = path.read_bytes()
    except OSError as error:
        return [Problem(str(path), f"cannot be read: {error.strerror}")]
    if path.suffix == ".toml":
        return _settings(path)
    if path.suffix == ".md":
        return check_definition(path, data)
    model = _document_model(path.name)
    if model is not None:
        return _document(path, data, model)
    return _drop(path, data)


def check_home(paths: HomePaths) -> tuple[list[Problem], int]:
    """The problems of a whole home, and how many files were looked at."""
    files = [paths.settings]
    for folder in (paths.masters, paths.prompts, paths.personas):
        files += definitions_in(folder)
    files += [path for path in paths.documents if path.exists()]
    files += sorted(paths.worker_specs.glob("*.json"))
    files += sorted(path for path in paths.inbox.glob("[!.]*") if path.is_file())
    files = [path for path in files if os.path.lexists(path)]
    # A daemon may take a drop or a spec away meanwhile; that is no problem.
    found = [(path, _check_found(path)) for path in files]
    problems = [problem for path, wrong in found if os.path.lexists(path) for problem in wrong]
    return [*problems, *between_definitions(paths)], len(files)


def edited_by_hand(paths: HomePaths) -> Problem | None:
    """What is wrong with a published file, as only somebody else than the daemon can have left it;
    None where nothing is.
    """
    found = (problem for path in paths.documents if path.exists() for problem in _check_found(path))
    return next((problem for problem in found if not problem.is_warning), None)


def _check_found(path: Path) -> list[Problem]:
    """What is there without that somebody named it may be a pipe, whose reader would wait."""
    if path.exists() and not (path.is_file() or path.is_dir()):
        return [Problem(str(path), "is no regular file, so that nobody reads it; remove it")]
    return check_file(path)


def _settings(path: Path) -> list[Problem]:
    from cortex.model.settings import load_settings

    try:
        load_settings(path)
    except SettingsError as error:
        if not error.wrong:
            return [Problem(str(path), str(error).removeprefix(f"{path}: "))]
        found = [
            Problem.of_field(path, one, one.line or _toml_line(path, one.field))
            for one in error.wrong
        ]
        return sorted(found, key=lambda one: one.line or 0)
    return []


def _toml_line(path: Path, field: str | None) -> int | None:
    """The line of a key, or of what is around it that can be found."""
    while field:
        section, _, key = field.rpartition(".")
        inside = not section
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            stripped = line.strip()
            if stripped.startswith("["):
                name = stripped.strip("[]").strip()
                inside = name == section
                if name == field:
                    return number
            elif inside and stripped.partition("=")[0].strip() == key:
                return number
        field = section
    return None


def _document_model(name: str) -> type[BaseModel] | None:
    from cortex.model import budget_document, documents, handoffs_document, worker_files

    models: dict[str, type[BaseModel]] = dict(
        zip(
            DOCUMENT_NAMES,
            (
                documents.TaskQueueDocument,
                documents.WorkerPoolDocument,
                budget_document.TokenBudgetDocument,
                handoffs_document.HandoffsDocument,
                documents.SchedulesDocument,
            ),
            strict=True,
        )
    )
    models["results.json"] = worker_files.ResultsDocument
    models["spec.json"] = worker_files.WorkerSpecDocument
    if name.startswith("worker-") and name.endswith(".json") and name not in models:
        return worker_files.WorkerSpecDocument
    return models.get(name)


def _document(path: Path, data: bytes, model: type[BaseModel]) -> list[Problem]:
    from pydantic import ValidationError

    from cortex.model.strict_json import JsonProblem, parse
    from cortex.model.wrong_fields import wrong_fields

    try:
        value = parse(data, max_bytes=1 << 30)
        # What the daemon publishes is of just these types: "12" is no number of it.
        model.model_validate(value, strict=path.name in DOCUMENT_NAMES)
    except JsonProblem as problem:
        return [Problem(str(path), problem.message, problem.line, problem.field)]
    except ValidationError as error:
        text = data.decode("utf-8", "replace")
        return [
            Problem.of_field(path, one, line_of_field(text, one.field))
            for one in wrong_fields(error, model, value)
        ]
    return []


def _drop(path: Path, data: bytes) -> list[Problem]:
    from cortex.model.requests import parse_request
    from cortex.model.strict_json import JsonProblem, parse_file

    try:
        payloads = parse_file(path.name, data)
    except JsonProblem as problem:
        return [Problem(str(path), problem.message, problem.line, problem.field)]
    from cortex.cli.unknown_fields import unknown_fields

    text = data.decode("utf-8", "replace")
    problems = [
        Problem(str(path), said, line_of_field(text, field), field, is_warning=True)
        for field, said in unknown_fields(str(path), data)
    ]
    for first_line, payload in payloads:
        try:
            parse_request(payload)
        except RequestError as error:
            wrong = error.wrong or [WrongField(error.message, (error.field or "",), error.hint)]
            problems += [
                Problem.of_field(path, one, first_line or line_of_field(text, one.field))
                for one in wrong
            ]
    return sorted(problems, key=lambda one: one.line or 0)
