"""Markdown files with YAML front matter: reading them, and saying where a wrong one is wrong.

The files of agent programs are read as those programs read them: plain text behind a key is text,
also where YAML would not have it. What the keys mean is in `definitions`.
"""

from __future__ import annotations

import difflib
import json
import re
from pathlib import Path
from typing import Any, TypeVar, get_args

from pydantic import BaseModel, ValidationError

from cortex.model.errors import DefinitionError

__all__ = ["Misplaced", "Place", "line_of", "read_front_matter", "validate"]

_PLAIN = re.compile(r"(?P<key>[A-Za-z_][A-Za-z0-9_-]*):[ \t]+(?P<text>\S.*)")
_KEY = re.compile(r"(?P<key>[A-Za-z_][A-Za-z0-9_-]*):(?:[ \t].*)?")
#: Keys of the files of agent programs; within a description that runs over several lines, anything
#: else that looks like a key is text (`Context: …`, `user: …`).
_SUBAGENT_KEYS = re.compile(
    "name|description|tools|disallowedTools|model|color|permissionMode|skills|hooks|mcpServers"
    "|maxTurns|memory|background|effort|isolation|initialPrompt"
)

#: Keys of Cortex's own files. They end such a description too: what stands behind a slip of the
#: pen must never become text, or a master's limits would be gone and nobody told.
_OWN_KEYS = frozenset(
    {
        "accept_handoffs", "approval", "approvals", "asks_commands", "autonomy", "budget",
        "capabilities", "character", "check_in", "command", "credentials", "decision_making",
        "default_route", "deliverables", "follow_ups", "heartbeat_interval", "heartbeats",
        "limits", "mission", "persona", "personality", "plan_commands", "planner", "plans",
        "results_schema", "retries", "routes", "runtime", "short_type", "spawns", "timeout",
        "token_budget", "tools_runtime", "writes",
    }
)  # fmt: skip

Place = tuple[int | str, ...]


class Misplaced(ValueError):  # noqa: N818 - the word that a reader of the code needs is where
    """A value that does not fit to another; `place` says where it stands in the front matter."""

    def __init__(self, message: str, place: Place) -> None:
        super().__init__(message)
        self.place = place


def read_front_matter(text: str, path: Path) -> tuple[dict[str, Any], str]:
    """The YAML mapping between the first two `---` lines, and the text after them.

    Raises DefinitionError with file and line where there is none or it is not a mapping.
    """
    import yaml

    first, lines, body = _split(text, path)
    try:
        data = yaml.safe_load("\n".join(lines))
    except yaml.YAMLError as error:
        readable = _readable(lines)
        if readable is None:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + first if mark else first - 1
            problem = getattr(error, "problem", None) or "not valid YAML"
            raise DefinitionError(f"{path}:{line}: {problem}") from None
        data = yaml.safe_load("\n".join(readable))
    except RecursionError:
        raise DefinitionError(f"{path}:{first}: is nested too deeply") from None
    except ValueError as error:  # a date such as 2025-13-45
        raise DefinitionError(f"{path}:{first}: {error}") from None
    if not isinstance(data, dict):
        raise DefinitionError(f"{path}:{first}: the front matter is not a list of `key: value`")
    said = {str(key): value for key, value in data.items() if value is not None}
    return said, body


def _split(text: str, path: Path) -> tuple[int, list[str], str]:
    """(line number of the first line of the front matter, its lines, the text after it)."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    start = next((n for n, line in enumerate(lines) if line.strip()), 0)
    if lines[start].strip() != "---":
        where = f"{path}:{start + 1}"
        raise DefinitionError(f"{where}: starts without a front matter; the first line is ---")
    try:
        end = next(n for n, line in enumerate(lines[start + 1 :], start + 1) if _is_fence(line))
    except StopIteration:
        where = f"{path}:{start + 1}"
        raise DefinitionError(f"{where}: the front matter has no closing --- line") from None
    return start + 2, lines[start + 1 : end], "\n".join(lines[end + 1 :]).strip() + "\n"


def _is_fence(line: str) -> bool:
    return line.rstrip() == "---"


def _readable(lines: list[str]) -> list[str] | None:
    """The same front matter, line for line, as YAML that can be read; None if nothing helps."""
    import yaml

    for made in (_with_plain_text(lines), _with_long_text(lines)):
        try:
            yaml.safe_load("\n".join(made))
        except (yaml.YAMLError, ValueError, RecursionError):
            continue
        return made
    return None


def _with_plain_text(lines: list[str]) -> list[str]:
    """With unquoted text taken as text: agent programs read `description: use it when: …` to the
    end of the line, which YAML does not allow.

    What looks like a list or object stays YAML, except where only text can stand.
    """
    import yaml

    quoted: list[str] = []
    for line in lines:
        found = _PLAIN.fullmatch(line)
        if found is None or (found["text"][0] in "[{" and found["key"] != "description"):
            quoted.append(line)
            continue
        try:
            yaml.safe_load(line)
            quoted.append(line)
        except yaml.YAMLError:
            quoted.append(f"{found['key']}: {json.dumps(found['text'].rstrip())}")
    return quoted


def _with_long_text(lines: list[str]) -> list[str]:
    """With a description that runs on over lines which are not indented, or not as YAML wants.

    It ends at the next line that begins with a key which such files have.
    """
    start = next((n for n, line in enumerate(lines) if line.startswith("description:")), None)
    if start is None:
        return lines
    end = start + 1
    while end < len(lines) and not _is_next_key(lines[end]):
        end += 1
    told = [lines[start].removeprefix("description:").strip(), *lines[start + 1 : end]]
    text = "\n".join(told).strip()
    made = [f"description: {json.dumps(text)}", *[""] * (end - start - 1)]
    return _with_plain_text([*lines[:start], *made, *lines[end:]])


def _is_next_key(line: str) -> bool:
    found = _KEY.fullmatch(line)
    if found is None:
        return False
    return found["key"] in _OWN_KEYS or _SUBAGENT_KEYS.fullmatch(found["key"]) is not None


_Model = TypeVar("_Model", bound=BaseModel)


def validate(model: type[_Model], data: dict[str, Any], text: str, path: Path) -> _Model:
    """The model made of a front matter; DefinitionError with file, line and field if it cannot be.

    `text` is the whole file.
    """
    try:
        return model.model_validate(data)
    except ValidationError as error:
        first = _most_telling(error.errors(include_url=False))
        place: Place = tuple(first["loc"])
        message = first["msg"].removeprefix("Value error, ")
        cause = first.get("ctx", {}).get("error")
        if isinstance(cause, Misplaced):
            place += cause.place
        if first["type"] == "extra_forbidden":
            known = _model_at(model, place).model_fields
            near = difflib.get_close_matches(str(place[-1]), known, 1)
            message = "unknown field" + (f"; did you mean {near[0]!r}?" if near else "")
        if first["type"] == "missing":
            message = "is missing"
        said = f"{'.'.join(map(str, place))}: {message}" if place else message
        raise DefinitionError(f"{path}:{line_of(place, text, path)}: {said}") from None


def _most_telling(errors: list[Any]) -> Any:
    """The first of the errors; of a missing field and an unknown one beside it the unknown one,
    which is perhaps how it was written.
    """
    first = errors[0]
    if first["type"] != "missing":
        return first
    beside = [one for one in errors if one["loc"][:-1] == first["loc"][:-1]]
    return next((one for one in beside if one["type"] == "extra_forbidden"), first)


def _model_at(model: type[BaseModel], place: Place) -> type[BaseModel]:
    """The model whose field is named last in a place."""
    for part in place[:-1]:
        field = model.model_fields.get(str(part)) if isinstance(part, str) else None
        if field is not None:
            model = _inner(field.annotation) or model
    return model


def _inner(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    found = (_inner(part) for part in get_args(annotation))
    return next((one for one in found if one is not None), None)


def line_of(place: Place, text: str, path: Path) -> int:
    """The line of the file where a place of its front matter stands, or else what is around it."""
    import yaml

    first, lines, _ = _split(text, path)
    try:
        node: Any = yaml.compose("\n".join(lines), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        readable = _readable(lines)
        node = yaml.compose("\n".join(readable), Loader=yaml.SafeLoader) if readable else None
    line = 0
    for part in place:
        found = _within(node, part)
        if found is None:
            break
        line, node = found
    return first + line


def _within(node: Any, part: int | str) -> tuple[int, Any] | None:
    """(line, node) of a key of a mapping or an item of a sequence; None where it has none."""
    import yaml

    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            if key.value == str(part):
                return key.start_mark.line, value
    if isinstance(node, yaml.SequenceNode) and isinstance(part, int) and part < len(node.value):
        return node.value[part].start_mark.line, node.value[part]
    return None
