"""Finds what is wrong in a JSON text, and where: line, column and the path of the field.

A slow token walk that runs only over texts that are known to be bad. It never recurses, so depth
costs nothing.
"""

import json
import math
import re
from dataclasses import dataclass, field

__all__ = ["JsonProblem", "Rules", "find_problem"]

_TOKEN = re.compile(
    r"""[ \t\r\n]+
    |(?P<string>"[^"\\\x00-\x1f]*(?:\\.[^"\\\x00-\x1f]*)*")
    |(?P<number>-?[0-9]+(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)
    |(?P<word>-?[A-Za-z_]+)
    |(?P<mark>[{}\[\],:])
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_LONE_SURROGATE = re.compile(r"[\ud800-\udfff]")
_SIMPLE_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]*")


class JsonProblem(ValueError):  # noqa: N818 - what a person reads is a problem
    """Why a text is refused. `line` and `column` count from 1; `field` is a path like
    `workers[2].name`, or None at the top."""

    def __init__(
        self,
        message: str,
        line: int | None = None,
        column: int | None = None,
        field: str | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.line = line
        self.column = column
        self.field = field

    def __str__(self) -> str:
        place = "" if self.line is None else f"line {self.line}: "
        return f"{place}{self.message}" + (f" (field {self.field})" if self.field else "")


@dataclass(frozen=True)
class Rules:
    """Limits beyond JSON's own."""

    max_depth: int
    max_digits: int


@dataclass
class _Frame:
    """One open object or list, and how far we are in it."""

    opener: str
    start: int
    key: str | None = None
    index: int = 0
    seen: set[str] = field(default_factory=set)

    def step(self) -> str:
        if self.opener == "[":
            return f"[{self.index}]"
        if self.key is None:
            return ""
        return f".{self.key}" if _SIMPLE_KEY.fullmatch(self.key) else f"[{json.dumps(self.key)}]"


def find_problem(text: str, rules: Rules, cause: Exception | None = None) -> JsonProblem:
    """The first thing wrong in a text that Python's parser (or a check after it) refused."""
    stop = cause.pos if isinstance(cause, json.JSONDecodeError) else len(text)
    walk = _Walk(text, rules)
    problem = walk.run(stop)
    if problem is not None:
        return problem
    if isinstance(cause, json.JSONDecodeError):
        return walk.problem(_explain_syntax(text, cause), cause.pos)
    return JsonProblem("the file is not JSON that can be read", 1, 1)


class _Walk:
    def __init__(self, text: str, rules: Rules) -> None:
        self._text = text
        self._rules = rules
        self._frames: list[_Frame] = []
        self._expect_key = False

    def run(self, stop: int) -> JsonProblem | None:
        """Walks up to `stop`; returns the first breach of the rules on the way."""
        for match in _TOKEN.finditer(self._text, 0):
            if match.start() >= stop:
                return None
            kind = match.lastgroup
            if kind is None:
                continue
            said = self._token(kind, match.group(), match.start())
            if said is not None:
                return self.problem(said, match.start())
        return None

    def problem(self, message: str, position: int) -> JsonProblem:
        line = self._text.count("\n", 0, position) + 1
        column = position - self._text.rfind("\n", 0, position)
        # A text nested without end has a path without end.
        path = "".join(frame.step() for frame in self._frames[:12]).lstrip(".")
        return JsonProblem(message, line, column, path or None)

    def _token(self, kind: str, token: str, start: int) -> str | None:
        if kind == "mark":
            return self._mark(token, start)
        if kind == "string":
            return self._string(token)
        if kind == "number":
            return self._number(token)
        if kind == "word" and token.lstrip("-") in ("NaN", "Infinity"):
            return f"{token} is not a JSON number"
        return None

    def _mark(self, mark: str, start: int) -> str | None:
        if mark in "{[":
            self._frames.append(_Frame(mark, start))
            self._expect_key = mark == "{"
            if len(self._frames) > self._rules.max_depth:
                return f"nested deeper than {self._rules.max_depth} levels"
        elif mark in "}]":
            if self._frames:
                self._frames.pop()
            self._expect_key = False
        elif mark == "," and self._frames:
            frame = self._frames[-1]
            frame.index += 1
            self._expect_key = frame.opener == "{"
        elif mark == ":":
            self._expect_key = False
        return None

    def _string(self, token: str) -> str | None:
        try:
            value: str = json.loads(token)
        except ValueError:
            return None  # a bad escape; Python's parser names it
        if self._expect_key and self._frames:
            frame = self._frames[-1]
            frame.key = value
            if value in frame.seen:
                return f"the key {json.dumps(value)} appears twice in one object"
            frame.seen.add(value)
        if _LONE_SURROGATE.search(value):
            return "a string holds half a surrogate pair, which is no character"
        if "\0" in value:
            return "a string holds NUL, which no file name or argument can carry"
        return None

    def _number(self, token: str) -> str | None:
        if len(token) > self._rules.max_digits:
            return f"a number of {len(token)} digits; at most {self._rules.max_digits} are read"
        if math.isinf(float(token)):
            return f"the number {token} is too large"
        return None


def _explain_syntax(text: str, cause: json.JSONDecodeError) -> str:
    rest = text[cause.pos :].lstrip(" \t\r\n")
    before = text[: cause.pos].rstrip(" \t\r\n")
    if not text.strip():
        return "the file is empty"
    if cause.msg.startswith("Extra data"):
        return "a second value begins here; one file holds one JSON value (.jsonl holds many)"
    if cause.msg.startswith("Unterminated string") or not rest:
        return "the text ends in the middle of a value; it seems cut off"
    if _is_trailing_comma(before, rest):
        return f"a comma before {rest.lstrip(', ').lstrip()[:1] or 'the end'} is one too many"
    if cause.msg.startswith("Invalid control character"):
        return f"a raw control character ({rest_name(text, cause.pos)}) in a string; escape it"
    if cause.msg.startswith("Invalid \\"):
        return f"not an escape that JSON knows: {text[cause.pos : cause.pos + 2]}"
    return _explain_character(rest)


def _is_trailing_comma(before: str, rest: str) -> bool:
    if rest[0] == ",":  # where Python 3.13 and later point
        return rest[1:].lstrip(" \t\r\n")[:1] in ("}", "]")
    return rest[0] in "}]" and before.endswith(",")


def rest_name(text: str, position: int) -> str:
    """The character at `position` as people name it: `U+0007`."""
    return f"U+{ord(text[position]):04X}" if position < len(text) else "the end"


def _explain_character(rest: str) -> str:
    first = rest[0]
    if first == "'":
        return "strings and names stand in double quotes, not in single ones"
    if rest.startswith(("//", "/*", "#")):
        return "JSON has no comments"
    if first == "\ufeff":
        return "a byte order mark in the middle of the text"
    if not first.isprintable():
        return f"a character that has no place here ({rest_name(rest, 0)})"
    return f"not JSON from here on: {rest[:20].splitlines()[0]!r}"
