"""Markdown files with YAML front matter: reading them, and saying where a wrong one is wrong.

The files of agent programs are read as those programs read them: plain text behind a key is text,
also where YAML would not have it. What the keys mean is in `definitions`.
"""

from __future__ import annotations

import json
import re
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cortex.model.errors import DefinitionError, Place, WrongField
from cortex.model.strict_json import MAX_DEPTH
from cortex.model.strict_yaml import MAX_VALUES
from cortex.model.wrong_fields import wrong_fields
from cortex.model.yaml_words import yaml_words

__all__ = ["line_of", "read_front_matter", "validate"]

#: What the parser raises beside its own errors: over a date such as 2025-13-45, and over a value
#: whose tag is for others (`!!int x`, `!!bool x`, `!!timestamp x`).
_NOT_CONSTRUCTED = (ValueError, LookupError, AttributeError)
_TOO_DEEP = f"nested deeper than {MAX_DEPTH} levels"
_BRACKETS_AT_MOST = 500
_BRACKET = re.compile(r"[\[\]{}]")
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
        "token_budget", "tools_runtime", "workspace", "writes",
    }
)  # fmt: skip


def read_front_matter(text: str, path: Path) -> tuple[dict[str, Any], str]:
    """The YAML mapping between the first two `---` lines, and the text after them.

    Raises DefinitionError with file and line where there is none or it is not a mapping.
    """
    import yaml

    first, lines, body = _split(text, path)
    front = "\n".join(lines)
    if _brackets_open(front) > _BRACKETS_AT_MOST:
        raise _refusal(path, WrongField(_TOO_DEEP, line=first))
    try:
        data = yaml.safe_load(front)
    except yaml.YAMLError as error:
        readable = _readable(lines)
        if readable is None:
            mark = getattr(error, "problem_mark", None)
            line = mark.line + first if mark else first - 1
            problem = yaml_words(getattr(error, "problem", None))
            raise _refusal(path, WrongField(problem, line=line)) from None
        data = yaml.safe_load("\n".join(readable))
    except RecursionError:
        raise _refusal(path, WrongField(_TOO_DEEP, line=first)) from None
    except _NOT_CONSTRUCTED as error:
        problem = str(error) if isinstance(error, ValueError) else "a value that its tag is not for"
        raise _refusal(path, WrongField(problem, line=first)) from None
    if not isinstance(data, dict):
        problem = "the front matter is not a list of `key: value`"
        raise _refusal(path, WrongField(problem, line=first))
    unbounded = _unbounded(data)
    if unbounded is not None:
        raise _refusal(path, WrongField(unbounded, line=first))
    return {str(key): value for key, value in data.items() if value is not None}, body


def _brackets_open(text: str) -> int:
    """How many are open at once, wherever they stand: the parser's time grows with the square."""
    most = depth = 0
    for sign in _BRACKET.findall(text):
        depth = depth + 1 if sign in "[{" else max(0, depth - 1)
        most = max(most, depth)
    return most


def _unbounded(data: Any) -> str | None:
    """Why nobody can go through all of it: an alias (`*name`) may stand within what it repeats, and
    a few of them may repeat each other to any number of values.
    """
    left = MAX_VALUES
    todo: list[tuple[Any, int]] = [(data, 1)]
    while todo:
        value, depth = todo.pop()
        inner = list(value.values()) if isinstance(value, dict) else value
        if not isinstance(inner, list | tuple | set):
            continue
        left -= len(inner)
        if depth > MAX_DEPTH:
            return _TOO_DEEP
        if left < 0:
            return f"more than {MAX_VALUES:,} values, aliases (`*name`) with all that they repeat"
        todo += ((one, depth + 1) for one in inner)
    return None


def _split(text: str, path: Path) -> tuple[int, list[str], str]:
    """(line number of the first line of the front matter, its lines, the text after it)."""
    lines = text.removeprefix("\ufeff").replace("\r\n", "\n").replace("\r", "\n").split("\n")
    start = next((n for n, line in enumerate(lines) if line.strip()), 0)
    if lines[start].strip() != "---":
        said = "starts without a front matter; the first line is ---"
        raise _refusal(path, WrongField(said, line=start + 1))
    try:
        end = next(n for n, line in enumerate(lines[start + 1 :], start + 1) if _is_fence(line))
    except StopIteration:
        said = "the front matter has no closing --- line"
        raise _refusal(path, WrongField(said, line=start + 1)) from None
    return start + 2, lines[start + 1 : end], "\n".join(lines[end + 1 :]).strip() + "\n"


def _is_fence(line: str) -> bool:
    return line.rstrip() == "---"


def _readable(lines: list[str]) -> list[str] | None:
    """The same front matter, line for line, as YAML that can be read; None if nothing helps."""
    import yaml

    for made in (_with_plain_text(lines), _with_long_text(lines)):
        try:
            yaml.safe_load("\n".join(made))
        except (yaml.YAMLError, RecursionError, *_NOT_CONSTRUCTED):
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
        except (yaml.YAMLError, RecursionError, *_NOT_CONSTRUCTED):
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


def validate(model: type[_Model], data: dict[str, Any], body: str, text: str, path: Path) -> _Model:
    """The model made of a front matter; DefinitionError with file, line and field of all that is
    wrong if it cannot be.

    `body` is the prompt below it, `text` the whole file.
    """
    is_ours = model.model_config.get("extra") == "forbid"
    doubled = _doubled(_composed(text, path))
    told = [one for one in doubled if is_ours or not _SUBAGENT_KEYS.fullmatch(str(one.field))]
    if told:
        first = _split(text, path)[0]
        raise _refusal(path, *(replace(one, line=first + (one.line or 0)) for one in told))
    if "prompt" in data and is_ours:
        hint = "the prompt is the text below the front matter"
        line = line_of(("prompt",), text, path)
        raise _refusal(path, WrongField("no such key", ("prompt",), hint, line))
    data = {**data, "prompt": body}
    try:
        return model.model_validate(data)
    except ValidationError as error:
        wrong = [
            replace(one, line=line_of(one.place, text, path))
            for one in wrong_fields(error, model, data)
        ]
        # The number of those that are not told has no place, and stands last.
        wrong.sort(key=lambda one: (not one.place, one.line or 0))
        raise _refusal(path, *wrong) from None


def _refusal(path: Path, *wrong: WrongField) -> DefinitionError:
    more = f" (and {len(wrong) - 1} more in this file)" if len(wrong) > 1 else ""
    return DefinitionError(f"{path}:{wrong[0].line}: {wrong[0]}{more}", wrong)


def line_of(place: Place, text: str, path: Path) -> int:
    """The line of the file where a place of its front matter stands, or else what is around it."""
    node, line = _composed(text, path), 0
    for part in place:
        found = _within(node, part)
        if found is None:
            break
        line, node = found
    return _split(text, path)[0] + line


def _composed(text: str, path: Path) -> Any:
    """The front matter as YAML's nodes, which know their lines; None where it cannot be read."""
    import yaml

    _, lines, _ = _split(text, path)
    try:
        return yaml.compose("\n".join(lines), Loader=yaml.SafeLoader)
    except (yaml.YAMLError, RecursionError):
        readable = _readable(lines)
        return yaml.compose("\n".join(readable), Loader=yaml.SafeLoader) if readable else None


def _doubled(top: Any) -> list[WrongField]:
    """The keys that stand twice in one mapping: YAML would keep the last and tell nobody. Their
    lines count from the first of the front matter.
    """
    import yaml

    found: list[WrongField] = []
    todo: list[tuple[Any, Place]] = [(top, ())]
    seen: set[int] = set()
    while todo:
        node, place = todo.pop()
        if id(node) in seen:
            continue  # an alias
        seen.add(id(node))
        if isinstance(node, yaml.SequenceNode):
            todo += [(item, (*place, number)) for number, item in enumerate(node.value)]
        if isinstance(node, yaml.MappingNode):
            keys: set[str] = set()
            for key, value in node.value:
                name = str(key.value)
                if name in keys:
                    said = "stands twice; keep one of them"
                    found.append(WrongField(said, (*place, name), line=key.start_mark.line))
                keys.add(name)
                todo.append((value, (*place, name)))
    return sorted(found, key=lambda one: one.line or 0)


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
