"""Checks the links of Markdown files inside one repository: files, folders and anchors.

Nothing is asked of a network: links elsewhere are counted. The rules for anchors are those of the
large forges: lower case, punctuation gone, spaces to hyphens, `-1` on a repeated heading.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote

from cortex.worker.tools.source_files import SourceTree

__all__ = ["BrokenLink", "Links", "anchors_of", "check_links"]

_FENCE = re.compile(r"^ {0,3}(?P<fence>`{3,}|~{3,})")
_SPAN = re.compile(r"(?P<ticks>`+).+?(?<!`)(?P=ticks)(?!`)")
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_INLINE = re.compile(
    r"!?\[(?:[^\[\]]|\[[^\]]*\](?:\([^)]*\))?)*\]\(\s*(?P<target><[^>]*>|[^\s()]*(?:\([^\s()]*\)[^\s()]*)*)"
)
_DEFINITION = re.compile(r"^ {0,3}\[[^\]^][^\]]*\]:\s*(?P<target><[^>]*>|\S+)")
_HTML = re.compile(r"<(?:a|img)\b[^>]*?\b(?:href|src)\s*=\s*[\"'](?P<target>[^\"']*)[\"']", re.I)
_NAMED = re.compile(r"\b(?:id|name)\s*=\s*[\"'](?P<anchor>[^\"']+)[\"']", re.IGNORECASE)
_HEADING = re.compile(r"^ {0,3}#{1,6}\s+(?P<title>.*?)\s*#*\s*$")
_UNDERLINE = re.compile(r"^ {0,3}(=+|-+)\s*$")
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*:|//")
_LINE_CHARACTERS = 2_000
_LINE_ANCHOR = re.compile(r"L\d+(?:C\d+)?(?:-L\d+(?:C\d+)?)?\Z")


@dataclass(frozen=True, slots=True)
class BrokenLink:
    """One link that leads nowhere, with why."""

    file: str
    line: int
    target: str
    why: str


@dataclass(slots=True)
class Links:
    """What was looked at: files, links inside the repository, links elsewhere, broken ones."""

    files: int
    inside: int
    elsewhere: int
    broken: list[BrokenLink]


def check_links(tree: SourceTree) -> Links:
    """Check every Markdown file of the tree that is not vendored."""
    places = ("source", "examples", "tests")
    found = Links(0, 0, 0, [])
    anchors: dict[str, set[str]] = {}
    for file in tree.of("markdown", places=places):
        text = _read(tree.root / file.path)
        if text is None:
            continue
        found.files += 1
        for line, target in _targets(text):
            if _SCHEME.match(target):
                found.elsewhere += 1
                continue
            found.inside += 1
            why = _why_broken(tree.root, file.path, target, anchors)
            if why:
                found.broken.append(BrokenLink(file.path, line, target, why))
    return found


def anchors_of(text: str) -> set[str]:
    """Every anchor that a Markdown text offers."""
    seen: Counter[str] = Counter()
    anchors: set[str] = set()
    lines = _prose(text)
    for place, line in enumerate(lines):
        anchors.update(match["anchor"] for match in _NAMED.finditer(line))
        heading = _HEADING.match(line)
        title = heading["title"] if heading else None
        following = lines[place + 1] if place + 1 < len(lines) else ""
        if title is None and line.strip() and _UNDERLINE.match(following):
            title = line.strip()
        if title is None:
            continue
        slug = _slug(title)
        anchors.add(f"{slug}-{seen[slug]}" if seen[slug] else slug)
        seen[slug] += 1
    return anchors


def _slug(title: str) -> str:
    words = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", title)
    words = re.sub(r"<[^>]+>", "", words).strip().lower()
    return re.sub(r"[^\w\- ]", "", words).replace(" ", "-")


def _read(path: Path) -> str | None:
    try:
        return path.read_bytes().decode("utf-8", "replace")
    except OSError:
        return None


def _prose(text: str) -> list[str]:
    """The lines of a text with those of its fenced blocks and comments emptied."""
    text = _COMMENT.sub(lambda match: "\n" * match[0].count("\n"), text)
    lines, fence = [], ""
    for line in text.split("\n"):
        mark = _FENCE.match(line)
        if fence:
            if mark and mark["fence"].startswith(fence) and not line.strip().strip(fence[0]):
                fence = ""
            lines.append("")
        elif mark:
            fence = mark["fence"]
            lines.append("")
        else:
            lines.append(line)
    return lines


def _targets(text: str) -> list[tuple[int, str]]:
    found = []
    for number, line in enumerate(_prose(text), start=1):
        if len(line) > _LINE_CHARACTERS:
            continue  # nobody wrote that by hand, and looking for pairs in it takes too long
        plain = _SPAN.sub(lambda match: "x" * len(match[0]), line)
        for pattern in (_INLINE, _DEFINITION, _HTML):
            for match in pattern.finditer(plain):
                target = match["target"].strip("<>")
                if target:
                    found.append((number, target))
    return found


def _why_broken(root: Path, file: str, target: str, anchors: dict[str, set[str]]) -> str | None:
    path_part, _, anchor = target.partition("#")
    path_part = unquote(path_part.partition("?")[0])
    if "\0" in path_part:
        return "is no path"
    if path_part.startswith("/"):
        wanted = path_part.lstrip("/")  # the forges take the repository for the root
    elif path_part:
        wanted = str(Path(file).parent / path_part)
    else:
        wanted = file
    wanted = os.path.normpath(wanted)
    if wanted == ".." or wanted.startswith("../"):
        return "leads out of the repository"
    if not os.path.lexists(root / wanted):
        return f"{wanted} is not there"
    if (
        not anchor
        or not wanted.lower().endswith((".md", ".markdown"))
        or _LINE_ANCHOR.match(anchor)
    ):
        return None
    if wanted not in anchors:
        page = root / wanted
        text = None if page.is_symlink() or not page.is_file() else _read(page)
        anchors[wanted] = anchors_of(text) if text is not None else set()
        if text is None:
            anchors[wanted] = {unquote(anchor).lower()}
    offered = {name.lower() for name in anchors[wanted]}
    return None if unquote(anchor).lower() in offered else f"{wanted} has no heading #{anchor}"
