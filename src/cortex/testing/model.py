"""A model that answers from a script, or makes up plans and nonsense from a seed."""

from __future__ import annotations

import json
import random
from collections.abc import Iterable
from typing import Any

from cortex.model.errors import ModelError
from cortex.model.seams import Completion, ModelRequest

__all__ = ["FakeModel"]

Answer = str | dict[str, Any] | Completion | ModelError


class FakeModel:
    """Gives the scripted answers in their order, then what its seed says; it keeps the questions.

    An object is answered as JSON, and a ModelError is raised. What a seed says are plans that fit
    the schema it is asked with, plans with one mistake, text that is no plan, and errors.
    """

    def __init__(self, answers: Iterable[Answer] = (), seed: int | str = 0) -> None:
        self.requests: list[ModelRequest] = []
        self._answers = list(answers)
        self._chance = random.Random(f"model {seed}")

    def complete(self, request: ModelRequest) -> Completion:
        """The next answer."""
        self.requests.append(request)
        answer = self._answers.pop(0) if self._answers else self._made_up(request.schema or {})
        if isinstance(answer, ModelError):
            raise answer
        if isinstance(answer, Completion):
            return answer
        text = answer if isinstance(answer, str) else json.dumps(answer)
        return Completion(text, len(request.prompt) // 4, len(text) // 4)

    def _made_up(self, schema: dict[str, Any]) -> Answer:
        chance = self._chance
        kind = chance.choice(("plan",) * 6 + ("mistake",) * 3 + ("nonsense", "error"))
        if kind == "error":
            return ModelError("the model is not there", permanent=chance.random() < 0.3)
        if kind == "nonsense":
            return chance.choice(_NONSENSE)
        plan = _plan(chance, schema)
        return _with_mistake(chance, plan) if kind == "mistake" else plan


_NONSENSE = (
    "",
    "I cannot help with that.",
    '{"workers": [',
    '{"reason": "none"}',
    '{"workers": {"name": "a"}}',
    '{"workers": [7, null, "x"]}',
    '{"workers": [{"name": NaN}]}',
    "{" * 5000,
    '{"reason": "\x1b[31m", "workers": []}',
)


def _step_schema(schema: dict[str, Any]) -> dict[str, Any]:
    step = schema.get("$defs", {}).get("ProposedStep", {})
    properties: dict[str, Any] = step.get("properties", {})
    return properties


def _plan(chance: random.Random, schema: dict[str, Any]) -> dict[str, Any]:
    """A plan that fits: one to four steps of offered types, each after some of those before it."""
    types = _step_schema(schema).get("worker_type", {}).get("enum") or ["coordinator-worker"]
    names = [f"p{number}" for number in range(chance.randint(1, 4))]
    steps = [
        {
            "name": name,
            "worker_type": chance.choice(types),
            "needs": [other for other in names[:number] if chance.random() < 0.3],
            "optional": chance.random() < 0.1,
            "scope": {"instructions": f"do {name}"},
        }
        for number, name in enumerate(names)
    ]
    return {"reason": "as it came to mind", "workers": steps}


def _with_mistake(chance: random.Random, plan: dict[str, Any]) -> dict[str, Any]:
    step = chance.choice(plan["workers"])
    step |= chance.choice(
        (
            {"worker_type": "wizard"},
            {"needs": [step["name"]]},
            {"needs": ["nobody"]},
            {"command": "rm -rf /"},
            {"token_budget": 10**8},
            {"scope": {"repository": "/etc"}},
            {"name": "../../x"},
            {"env": {"A": "b"}},
        )
    )
    return plan
