"""Where everything lies inside a home folder. Names only: nothing here touches the disk."""

from dataclasses import dataclass
from pathlib import Path

__all__ = ["DOCUMENT_NAMES", "HomePaths"]

# The published documents, which a person may edit in place; never taken for drops.
DOCUMENT_NAMES = (
    "task-queue.json",
    "worker-pool.json",
    "token-budget.json",
    "handoffs.json",
    "schedules.json",
)


@dataclass(frozen=True)
class HomePaths:
    """The paths of one home; `root` is the folder that `cortex init` made."""

    root: Path

    @property
    def settings(self) -> Path:
        return self.root / "cortex.toml"

    @property
    def coordination(self) -> Path:
        return self.root / "coordination"

    @property
    def inbox(self) -> Path:
        return self.coordination / "inbox"

    @property
    def intake(self) -> Path:
        """Claimed drops that are not durable yet; on the inbox's file system, so rename works."""
        return self.inbox / ".intake"

    @property
    def rejected(self) -> Path:
        return self.coordination / "rejected"

    @property
    def journal(self) -> Path:
        return self.coordination / "journal"

    @property
    def archive(self) -> Path:
        return self.coordination / "archive"

    @property
    def task_queue(self) -> Path:
        return self.coordination / "task-queue.json"

    @property
    def worker_pool(self) -> Path:
        return self.coordination / "worker-pool.json"

    @property
    def token_budget(self) -> Path:
        return self.coordination / "token-budget.json"

    @property
    def handoffs(self) -> Path:
        return self.coordination / "handoffs.json"

    @property
    def schedules(self) -> Path:
        return self.coordination / "schedules.json"

    @property
    def documents(self) -> tuple[Path, ...]:
        return tuple(self.coordination / name for name in DOCUMENT_NAMES)

    @property
    def state(self) -> Path:
        return self.root / ".state"

    @property
    def checkpoint(self) -> Path:
        return self.state / "checkpoint.json"

    @property
    def previous_checkpoint(self) -> Path:
        return self.state / "checkpoint.previous.json"

    @property
    def ballast(self) -> Path:
        return self.state / "ballast"

    @property
    def out(self) -> Path:
        """What publishing took out of coordination/, kept while an editor may write into it."""
        return self.state / "out"

    @property
    def archive_index(self) -> Path:
        return self.state / "archive.db"

    @property
    def attempts(self) -> Path:
        return self.state / "attempts"

    @property
    def lock(self) -> Path:
        return self.state / "lock"

    @property
    def pid(self) -> Path:
        return self.state / "pid"

    @property
    def worker_specs(self) -> Path:
        return self.root / "worker-specs"

    @property
    def agents(self) -> Path:
        return self.root / "agents"

    @property
    def masters(self) -> Path:
        return self.agents / "masters"

    @property
    def prompts(self) -> Path:
        return self.agents / "prompts" / "workers"

    @property
    def personas(self) -> Path:
        return self.agents / "personas"

    @property
    def logs(self) -> Path:
        return self.agents / "logs"

    @property
    def worker_logs(self) -> Path:
        return self.logs / "workers"

    @property
    def task_logs(self) -> Path:
        return self.logs / "tasks"

    @property
    def schemas(self) -> Path:
        return self.root / "schemas"
