"""Where everything lies inside a home folder. Names only: nothing here touches the disk."""

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

__all__ = ["DOCUMENT_NAMES", "HomePaths", "definitions_in", "expanded"]

# The published documents, which a person may edit in place; never taken for drops.
DOCUMENT_NAMES = (
    "task-queue.json",
    "worker-pool.json",
    "token-budget.json",
    "handoffs.json",
    "schedules.json",
)


def expanded(path: str | Path) -> Path:
    """The path with its `~` or `~user` replaced; that of a user whom nobody knows stays as it is,
    where `Path.expanduser` raises RuntimeError.
    """
    return Path(os.path.expanduser(path))  # noqa: PTH111


def definitions_in(folder: Path) -> list[Path]:
    """What is called like a definition in a folder under agents/, by name; a README is for people.

    They may be of any kind: files, links, folders.
    """
    return [path for path in sorted(folder.glob("*.md")) if path.stem.lower() != "readme"]


@dataclass(frozen=True)
class HomePaths:
    """The paths of one home; `root` is the folder that `cortex init` made."""

    root: Path

    @cached_property
    def settings(self) -> Path:
        return self.root / "cortex.toml"

    @cached_property
    def coordination(self) -> Path:
        return self.root / "coordination"

    @cached_property
    def inbox(self) -> Path:
        return self.coordination / "inbox"

    @cached_property
    def intake(self) -> Path:
        """Claimed drops that are not durable yet; on the inbox's file system, so rename works."""
        return self.inbox / ".intake"

    @cached_property
    def rejected(self) -> Path:
        return self.coordination / "rejected"

    @cached_property
    def journal(self) -> Path:
        return self.coordination / "journal"

    @cached_property
    def archive(self) -> Path:
        return self.coordination / "archive"

    @cached_property
    def task_queue(self) -> Path:
        return self.coordination / "task-queue.json"

    @cached_property
    def worker_pool(self) -> Path:
        return self.coordination / "worker-pool.json"

    @cached_property
    def token_budget(self) -> Path:
        return self.coordination / "token-budget.json"

    @cached_property
    def handoffs(self) -> Path:
        return self.coordination / "handoffs.json"

    @cached_property
    def schedules(self) -> Path:
        return self.coordination / "schedules.json"

    @cached_property
    def documents(self) -> tuple[Path, ...]:
        return tuple(self.coordination / name for name in DOCUMENT_NAMES)

    @cached_property
    def state(self) -> Path:
        return self.root / ".state"

    @cached_property
    def checkpoint(self) -> Path:
        return self.state / "checkpoint.json"

    @cached_property
    def previous_checkpoint(self) -> Path:
        return self.state / "checkpoint.previous.json"

    @cached_property
    def ballast(self) -> Path:
        return self.state / "ballast"

    @cached_property
    def out(self) -> Path:
        """What publishing took out of coordination/, kept while an editor may write into it."""
        return self.state / "out"

    @cached_property
    def archive_index(self) -> Path:
        return self.state / "archive.db"

    @cached_property
    def last_good(self) -> Path:
        """The last good text of each definition."""
        return self.state / "definitions.json"

    @cached_property
    def attempts(self) -> Path:
        return self.state / "attempts"

    @cached_property
    def lock(self) -> Path:
        return self.state / "lock"

    @cached_property
    def pid(self) -> Path:
        return self.state / "pid"

    @cached_property
    def worker_specs(self) -> Path:
        return self.root / "worker-specs"

    @cached_property
    def mirrors(self) -> Path:
        """Bare repositories, one for each that workers use; made by the workers that need them."""
        return self.root / "mirrors"

    @cached_property
    def own_folders(self) -> tuple[Path, ...]:
        """The folders that the daemon itself writes into, but for the dated logs."""
        return (
            self.inbox,
            self.intake,
            self.rejected,
            self.journal,
            self.archive,
            self.out,
            self.attempts,
            self.worker_specs,
        )

    @cached_property
    def agents(self) -> Path:
        return self.root / "agents"

    @cached_property
    def masters(self) -> Path:
        return self.agents / "masters"

    @cached_property
    def prompts(self) -> Path:
        return self.agents / "prompts" / "workers"

    @cached_property
    def personas(self) -> Path:
        return self.agents / "personas"

    @cached_property
    def logs(self) -> Path:
        return self.agents / "logs"

    @cached_property
    def worker_logs(self) -> Path:
        return self.logs / "workers"

    @cached_property
    def task_logs(self) -> Path:
        return self.logs / "tasks"

    @cached_property
    def schemas(self) -> Path:
        return self.root / "schemas"
