"""Which files of a repository an analyzer may look at, and what language each of them is in.

One walk serves all analyzers: they are given these files by name, so that none follows a symlink
out of the repository, reads a build output or chokes on a giant. Reads no content.
"""

from __future__ import annotations

import os
import posixpath
import re
import stat
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

__all__ = ["RepositoryError", "SourceFile", "SourceTree", "read_tree"]

FILE_LIMIT = 50_000
SIZE_LIMIT_BYTES = 2 * 1024 * 1024

_LANGUAGES = {
    ".py": "python", ".pyi": "python", ".pyw": "python",
    ".js": "javascript", ".jsx": "javascript", ".mjs": "javascript", ".cjs": "javascript",
    ".ts": "typescript", ".tsx": "typescript", ".mts": "typescript", ".cts": "typescript",
    ".sh": "shell", ".bash": "shell", ".go": "go", ".rs": "rust", ".java": "java", ".kt": "kotlin",
    ".c": "c", ".h": "c", ".cc": "c++", ".cpp": "c++", ".cxx": "c++", ".hpp": "c++", ".cs": "c#",
    ".rb": "ruby", ".php": "php", ".swift": "swift", ".scala": "scala", ".lua": "lua",
    ".html": "html", ".htm": "html", ".css": "css", ".scss": "css", ".vue": "vue",
    ".svelte": "svelte",
    ".sql": "sql", ".md": "markdown", ".rst": "restructuredtext", ".txt": "text",
    ".json": "json", ".yaml": "yaml", ".yml": "yaml", ".toml": "toml", ".xml": "xml",
    ".ini": "ini", ".cfg": "ini", ".env": "dotenv", ".tf": "terraform", ".proto": "protobuf",
}  # fmt: skip
_NAMED = {"dockerfile": "dockerfile", "makefile": "make", "jenkinsfile": "groovy", ".env": "dotenv"}
_INTERPRETERS = {
    "sh": "shell", "bash": "shell", "dash": "shell", "ksh": "shell", "python": "python",
    "node": "javascript", "ruby": "ruby", "php": "php", "lua": "lua",
}  # fmt: skip
_SKIPPED_DIRS = frozenset({
    ".git", ".hg", ".svn", ".venv", "venv", ".tox", ".nox", ".eggs", "node_modules", "htmlcov",
    "bower_components", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache", ".cache",
    ".hypothesis", ".next", ".nuxt", ".gradle", ".idea", ".terraform", "dist", "build", "target",
    ".yarn", ".pnpm-store",
})  # fmt: skip
_VENDORED_DIRS = frozenset(
    {"vendor", "vendored", "_vendor", "third_party", "thirdparty", "extern", "external"}
)
_EXAMPLE_DIRS = frozenset({"examples", "example", "docs", "doc", "samples", "demo", "benchmarks"})
_TEST_DIRS = frozenset(
    {"tests", "test", "testing", "__tests__", "spec", "specs", "fixtures", "testdata", "e2e"}
)
_TEST_FILE = re.compile(r"^(test_.+|.+_test|conftest)\.pyi?$|\.(test|spec)\.[cm]?[jt]sx?$")
_MINIFIED = re.compile(r"[.-]min\.(js|css)$|\.bundle\.js$")


class RepositoryError(Exception):
    """The repository of the scope cannot be read; the words say why and what to do."""


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One regular file: its path relative to the repository, language, size and kind of place.

    `place` is `source`, `tests`, `vendored` or `examples`.
    """

    path: str
    language: str | None
    size_bytes: int
    place: str


@dataclass(slots=True)
class SourceTree:
    """The files found, in path order, and how many were left out for which reason.

    `repository` is what they are of, for people: the root, or the address that was cloned there.
    """

    root: Path
    files: list[SourceFile] = field(default_factory=list)
    left_out: Counter[str] = field(default_factory=Counter)
    limited_to: tuple[str, ...] = ()
    repository: str = ""
    notes: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The repository's short name."""
        return PurePosixPath(self.repository).name.removesuffix(".git") or self.repository

    def of(self, *languages: str, places: Sequence[str] = ()) -> list[SourceFile]:
        """Files of these languages (all, if none is named), in these places (all, if none is
        named).
        """
        return [
            file
            for file in self.files
            if (not languages or file.language in languages)
            and (not places or file.place in places)
        ]

    def place_of(self, path: str) -> str:
        """The kind of place that a relative path is in."""
        return _place(path, self.limited_to)


def read_tree(repository: str, paths: Sequence[str] = ()) -> SourceTree:
    """Walk the repository, or only `paths` of it (relative; files or folders).

    Symlinks, special files, version control, virtual environments and build outputs are left out.
    Raises RepositoryError where the repository or one of the paths is not there, not readable, or
    outside.
    """
    root = _readable_root(repository)
    tree = SourceTree(root, limited_to=tuple(paths), repository=str(root))
    starts = [_start(root, path) for path in paths] or [root]
    seen: set[str] = set()
    for start in starts:
        for path, status in _walk(start, tree.left_out):
            relative = path.relative_to(root).as_posix()
            if relative in seen:
                continue
            seen.add(relative)
            if len(tree.files) >= FILE_LIMIT:
                tree.left_out[f"past the limit of {FILE_LIMIT:,} files"] += 1
            elif status.st_size > SIZE_LIMIT_BYTES:
                tree.left_out[f"larger than {SIZE_LIMIT_BYTES >> 20} MiB"] += 1
            elif _MINIFIED.search(path.name):
                tree.left_out["minified"] += 1
            else:
                place = _place(relative, tree.limited_to)
                tree.files.append(SourceFile(relative, _language(path), status.st_size, place))
    tree.files.sort(key=lambda file: file.path)
    return tree


def _readable_root(repository: str) -> Path:
    if not repository:
        raise RepositoryError("the scope names no repository; set scope.repository to a path")
    root = Path(repository)
    if not root.is_absolute():
        raise RepositoryError(
            f"scope.repository {repository!r} is not absolute; write its full path, or a URL with "
            "file, http, https or ssh"
        )
    try:
        root = root.resolve(strict=True)
        with os.scandir(root):
            pass
    except FileNotFoundError:
        raise RepositoryError(
            f"the repository {repository} does not exist; correct scope.repository"
        ) from None
    except NotADirectoryError:
        raise RepositoryError(
            f"the repository {repository} is not a folder; correct scope.repository"
        ) from None
    except (OSError, RuntimeError, ValueError) as problem:
        raise RepositoryError(
            f"the repository {repository} cannot be read: {problem}; let the worker's user read it"
        ) from None
    return root


def _start(root: Path, path: str) -> Path:
    start = Path(os.path.normpath(root / path))
    if not start.is_relative_to(root) or not start.resolve().is_relative_to(root):
        raise RepositoryError(f"scope.paths: {path!r} lies outside the repository {root}")
    if not start.exists():
        raise RepositoryError(f"scope.paths: {path!r} does not exist in {root}; correct the scope")
    return start


def _walk(start: Path, left_out: Counter[str]) -> Iterator[tuple[Path, os.stat_result]]:
    if start.is_file():
        yield start, start.stat()
        return
    folders = [start]
    while folders:
        folder = folders.pop()
        try:
            entries = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError:
            left_out["unreadable folders"] += 1
            continue
        for entry in entries:
            if entry.is_symlink():
                left_out["symlinks"] += 1
            elif entry.is_dir(follow_symlinks=False):
                if _is_skipped(entry):
                    left_out["version control, environments and build outputs"] += 1
                else:
                    folders.append(Path(entry.path))
            else:
                status = entry.stat(follow_symlinks=False)
                if stat.S_ISREG(status.st_mode):
                    yield Path(entry.path), status


def _is_skipped(entry: os.DirEntry[str]) -> bool:
    if entry.name in _SKIPPED_DIRS or entry.name.endswith(".egg-info"):
        return True
    return Path(entry.path, "pyvenv.cfg").exists()


def _language(path: Path) -> str | None:
    name = path.name.lower()
    if name in _NAMED or name.startswith(("dockerfile.", ".env.")):
        return _NAMED.get(name) or ("dockerfile" if name.startswith("docker") else "dotenv")
    if path.suffix:
        return _LANGUAGES.get(path.suffix.lower())
    return _by_first_line(path)


def _by_first_line(path: Path) -> str | None:
    """The language of a program without an ending, by its `#!` line."""
    try:
        with path.open("rb") as file:
            first = file.readline(128)
    except OSError:
        return None
    if not first.startswith(b"#!"):
        return None
    words = first[2:].decode("ascii", "replace").replace("/", " ").split()
    for word in reversed(words):
        name = word.rstrip("0123456789.")
        if name in _INTERPRETERS:
            return _INTERPRETERS[name]
    return None


def _place(relative: str, limited_to: Sequence[str]) -> str:
    """A folder or file that the scope names is source, whatever its name: somebody asked for it."""
    for limit in limited_to:
        prefix = posixpath.normpath(limit)
        if relative == prefix:
            return "source"
        if relative.startswith(prefix + "/"):
            named = _place_by_name(f"{prefix}/x")
            return "source" if named != "source" else _place_by_name(relative[len(prefix) + 1 :])
    return _place_by_name(relative)


def _place_by_name(relative: str) -> str:
    *folders, name = relative.lower().split("/")
    if not _VENDORED_DIRS.isdisjoint(folders):
        return "vendored"
    if not _TEST_DIRS.isdisjoint(folders) or _TEST_FILE.search(name):
        return "tests"
    return "examples" if not _EXAMPLE_DIRS.isdisjoint(folders[:1]) else "source"
