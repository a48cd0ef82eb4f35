"""What may run: masters, worker types and runtimes as the deciding code sees them.

A catalog is a value; reading the files behind it is the masters' library, starting what it names is
the runtime. Names are in the form that files use (`scan-worker`, `security-master`).
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass, field

from cortex.model.definitions import MasterDefinition, MasterPlan, WorkerTypeDefinition
from cortex.model.personas import PersonaDefinition
from cortex.model.state import Step

__all__ = ["Catalog", "Missing", "RuntimeInfo"]

#: How alike two names are (difflib) of which one is a slip of the pen: `scna`, `tests`, `reviw`.
_SURELY_MEANT = 0.75


@dataclass(frozen=True, slots=True)
class RuntimeInfo:
    """What deciding needs to know of a runtime. `lane` says which concurrency limit counts it."""

    name: str
    lane: str = "tools"
    heartbeats: bool = False
    uses_tokens: bool = True
    overhead_tokens: int = 0


@dataclass(frozen=True, slots=True)
class Missing:
    """Why a step cannot run here, as a sentence that says what to configure."""

    reason: str


@dataclass(frozen=True, slots=True)
class Catalog:
    """Masters, worker types, runtimes and personas by name.

    `files` has of each definition, by kind and name, the file that it is read from, relative to
    the home, and the SHA-256 of its bytes.
    """

    masters: dict[str, MasterDefinition] = field(default_factory=dict)
    types: dict[str, WorkerTypeDefinition] = field(default_factory=dict)
    runtimes: dict[str, RuntimeInfo] = field(default_factory=dict)
    personas: dict[str, PersonaDefinition] = field(default_factory=dict)
    files: dict[tuple[str, str], tuple[str, str]] = field(default_factory=dict)

    def route(self, task_type: str) -> MasterDefinition | None:
        """The master whose routes name the type, else the one with the default route; of two the
        first by file name."""
        default = None
        for master in self.masters.values():
            if task_type in master.routes:
                return master
            if master.default_route and default is None:
                default = master
        return default

    def nobody_takes(self, task_type: str) -> str | None:
        """In words, that no route or worker type is called so, and what was perhaps meant."""
        types = {name.removesuffix("-worker") for name in self.types}
        known = types.union(*(master.routes for master in self.masters.values()))
        if task_type.removesuffix("-worker") in known:
            return None
        near = difflib.get_close_matches(task_type, sorted(known), 1)
        hint = f"did you mean {near[0]!r}?" if near else "`cortex get masters -o wide` lists them"
        return f"no route and no worker type is called {task_type!r}; {hint}"

    @property
    def again_after(self) -> float:
        """The longest that any master has an ended follow-up stand for what is found; seconds."""
        rules = [rule for master in self.masters.values() for rule in master.follow_ups]
        return max((rule.again_after for rule in rules), default=0.0)

    def misspelt(self, worker_type: str) -> str | None:
        """The worker type that was surely meant by a name that none has; None: it may be anybody's,
        whose file comes later.
        """
        if worker_type in self.types:
            return None
        bare = [name.removesuffix("-worker") for name in self.types]
        wanted = worker_type.removesuffix("-worker")
        near = difflib.get_close_matches(wanted, bare, 1, _SURELY_MEANT)
        return f"{near[0]}-worker" if near else None

    def plan_for(self, master: str, task_type: str) -> MasterPlan | None:
        """The master's plan for tasks of a type."""
        definition = self.masters.get(master)
        if definition is None:
            return None
        for plan in definition.plans:
            if task_type in plan.types:
                return plan
        return None

    def persona_of(self, worker_type: str, master: str) -> PersonaDefinition | None:
        """Who a worker is: as its type says, else its master; None where neither names a persona
        that has a file."""
        kind, definition = self.types.get(worker_type), self.masters.get(master)
        for named in (kind.persona if kind else None, definition.persona if definition else None):
            if named is not None:
                return self.personas.get(named)
        return None

    def command_of(self, step: Step) -> list[str] | str | None:
        """What a step runs on the command runtime: its own command, else that of its type."""
        kind = self.types.get(step.worker_type)
        return step.command if step.command is not None or kind is None else kind.command

    def runtime_for(self, step: Step) -> RuntimeInfo | Missing:
        """The runtime that a step runs on, or what is missing (spec W5).

        `auto` takes a command where the step or its type has one, tools where the type has them,
        else the built-in agent where there is one.
        """
        kind = self.types.get(step.worker_type)
        if kind is None:
            bare = [name.removesuffix("-worker") for name in self.types]
            near = difflib.get_close_matches(step.worker_type.removesuffix("-worker"), bare, 1)
            known = ", ".join(sorted(self.types))
            hint = f"did you mean {near[0]}-worker?" if near else f"known: {known}"
            return Missing(f"worker type {step.worker_type} has no file; {hint}")
        wanted = step.runtime if step.runtime != "auto" else kind.runtime
        if wanted == "auto":
            if self.command_of(step) is not None:
                wanted = "command"
            elif kind.tools_runtime:
                wanted = "tools"
            elif "agent" in self.runtimes:
                wanted = "agent"
            else:
                return Missing(
                    f"{step.worker_type} needs thought: it has no tools runtime and no model "
                    "provider is configured; give the task, or the type's file, a command to run"
                )
        found = self.runtimes.get(wanted)
        if found is None:
            known = ", ".join(sorted(self.runtimes))
            return Missing(f"runtime {wanted!r} is not configured here; known: {known}")
        if wanted == "command" and self.command_of(step) is None:
            return Missing(f"step {step.name} is to run a command, and names none")
        if wanted == "tools" and not kind.tools_runtime:
            return Missing(f"{step.worker_type} has no tools runtime; name another runtime")
        return found
