"""Small real repositories, and the tools worker on them as the daemon starts it: a process with
the contract's environment.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cortex.model.definitions import WorkerTypeDefinition, read_worker_type
from cortex.model.results_schema import schema_problems

PROMPTS = Path(__file__).parents[1] / "agents" / "prompts" / "workers"
LIMIT_S = 100


@dataclass(frozen=True)
class Answer:
    """What one worker left behind."""

    folder: Path
    returncode: int
    stderr: str
    seconds: float = 0.0

    @property
    def analyzers(self) -> dict[str, dict[str, Any]]:
        """The analyzers of a scan, by name."""
        runs = json.loads(self.artifact("scan_results.json"))["analyzers"]
        return {run["name"]: run for run in runs}

    @property
    def results(self) -> dict[str, Any]:
        results: dict[str, Any] = json.loads((self.folder / "results.json").read_text())
        return results

    def artifact(self, name: str) -> str:
        return (self.folder / "artifacts" / name).read_text()

    def found(self, **wanted: Any) -> list[dict[str, Any]]:
        return [
            finding
            for finding in self.results["findings"]
            if all(finding.get(name) == value for name, value in wanted.items())
        ]


def git(folder: Path, *arguments: str) -> str:
    """What git prints in a folder, whoever owns that."""
    done = subprocess.run(
        ["git", "-c", "safe.directory=*", *arguments],
        cwd=folder, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return done.stdout.strip()


class Repository:
    """A git repository in a test's folder, with one commit for each call of `commit`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True)
        self.git("init", "--quiet", "--initial-branch=main")

    def git(self, *arguments: str) -> str:
        env = {
            "PATH": os.environ["PATH"],
            "HOME": str(self.root),
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
        }
        names = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
        done = subprocess.run(
            ["git", *names, *arguments], cwd=self.root, env=env, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def write(self, files: Mapping[str, str]) -> None:
        for name, text in files.items():
            path = self.root / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)

    def commit(self, files: Mapping[str, str], message: str = "A change") -> str:
        self.write(files)
        self.git("add", "--all")
        self.git("commit", "--quiet", "-m", message)
        return self.git("rev-parse", "HEAD")

    def fetch(self, answer: Answer, number: int = 0) -> dict[str, Any]:
        """Take a worker's branch in from its bundle, as a person does; its row."""
        row: dict[str, Any] = answer.results["branches"][number]
        bundle = answer.folder / "artifacts" / row["bundle"]
        self.git("fetch", "--quiet", str(bundle), f"{row['name']}:{row['name']}")
        return row

    def state(self) -> list[tuple[str, bytes | int]]:
        """Every file of the repository and its bytes: equal states were not written to."""
        return sorted(
            (str(path), path.read_bytes() if path.is_file() else path.stat().st_mtime_ns)
            for path in self.root.rglob("*")
        )


class ToolWorker:
    """Starts workers, one after another, each in a folder of its own."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self._count = 0

    def __call__(
        self,
        worker_type: str,
        repository: Path | str,
        *,
        needs: tuple[Answer, ...] = (),
        context: Mapping[str, Any] | None = None,
        path: str | None = None,
        env: Mapping[str, str] | None = None,
        timeout: str = "20m",
        **scope: Any,
    ) -> Answer:
        self._count += 1
        folder = self.root / f"worker-{self._count:03}"
        (folder / "artifacts").mkdir(parents=True)
        (folder / "home").mkdir()
        template = f"agents/prompts/workers/{worker_type}.md"
        (self.root / template).parent.mkdir(parents=True, exist_ok=True)
        kind = definition(worker_type)
        if kind is not None:
            shutil.copy(PROMPTS / f"{worker_type}.md", self.root / template)
        spec: dict[str, Any] = {
            "worker_id": folder.name,
            "worker_type": worker_type,
            "task_id": "task-010",
            "scope": {"repository": str(repository), **scope},
            "context": {"step": worker_type.removesuffix("-worker"), **(context or {})},
            "token_budget": 0,
            "timeout": timeout,
            "deliverables": kind.deliverables if kind else [],
            "env": dict(env or {}),
            "prompt_template": template,
        }
        (folder / "spec.json").write_text(json.dumps(spec))
        variables = {
            "PATH": path or os.environ["PATH"],
            "LANG": "C.UTF-8",
            **(env or {}),
            "HOME": str(folder / "home"),
            "CORTEX_WORKER_ID": folder.name,
            "CORTEX_TASK_ID": "task-010",
            "CORTEX_SPEC": str(folder / "spec.json"),
            "CORTEX_WORKER_DIR": str(folder),
            "CORTEX_RESULTS": str(folder / "results.json"),
            "CORTEX_ARTIFACTS": str(folder / "artifacts"),
            "CORTEX_HEARTBEAT": str(folder / "heartbeat.json"),
        }
        if needs:
            inputs = [str(answer.folder / "results.json") for answer in needs]
            variables["CORTEX_INPUTS"] = ":".join(inputs)
        started_s = time.monotonic()
        done = subprocess.run(
            [sys.executable, "-m", "cortex.worker.tools"],
            env=variables,
            capture_output=True,
            text=True,
            timeout=LIMIT_S,
        )
        answer = Answer(folder, done.returncode, done.stderr, time.monotonic() - started_s)
        assert done.returncode == 0, done.stderr
        assert answer.results["tokens_used"] == 0
        told = answer.results["status"] != "failed" or "outcome" in answer.results
        for name in spec["deliverables"] if told else ():
            assert (folder / "artifacts" / name).stat().st_size > 0, answer.results
        assert kind is None or schema_problems(answer.results, kind.results_schema or {}) == ()
        return answer


def definition(worker_type: str) -> WorkerTypeDefinition | None:
    """The worker type's own file; None where there is none."""
    path = PROMPTS / f"{worker_type}.md"
    return read_worker_type(path.read_text(), path) if path.exists() else None


def is_not_run(answer: Answer, *missing: str) -> None:
    """Asserts the honest ending: failed for good, with words on what is missing."""
    results = answer.results
    assert (results["status"], results.get("outcome")) == ("failed", "not_run"), results
    assert results["permanent"] is True
    assert not results.get("branches")
    told = " ".join(results["missing"]) + results["error"]
    for word in missing:
        assert word in told, told


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "repository")


@pytest.fixture
def run(tmp_path: Path) -> Iterator[Callable[..., Answer]]:
    yield ToolWorker(tmp_path / "workers")
