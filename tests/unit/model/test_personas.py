"""Personas as files: what an agent is told of them, and where a wrong one is wrong."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cortex.decide.catalog import Catalog
from cortex.decide.spec import worker_spec
from cortex.model.errors import DefinitionError
from cortex.model.personas import PersonaDefinition, read_persona
from cortex.model.worker_files import WorkerSpecDocument
from tests.unit.deciding import World, builtin_catalog

AGENTS = Path(__file__).parents[3] / "agents"


def persona(front: str, body: str = "") -> PersonaDefinition:
    return read_persona(f"---\n{front}\n---\n{body}", Path("agents/personas/kind.md"))


@pytest.mark.parametrize("path", sorted((AGENTS / "personas").glob("*.md")), ids=lambda p: p.stem)
def test_the_shipped_personas_say_everything(path: Path) -> None:
    made = read_persona(path.read_text(), path)
    assert made.name == path.stem
    said = made.model_dump()
    assert [key for key, value in said.items() if not value] == []
    assert all(line in made.text for line in made.capabilities)


def test_the_text_has_what_is_said_and_no_empty_part() -> None:
    made = persona(
        "character: You are kind.\nmission: Help.\npersonality: Patient, and brief.\n"
        "capabilities:\n  - listening",
        "Ask once.\n",
    )
    assert made.name == "kind"
    assert made.text == (
        "You are kind.\n\nYour mission: Help.\n\nHow you work:\n- Patient, and brief.\n\n"
        "What you are good at:\n- listening\n\nAsk once.\n"
    )


@pytest.mark.parametrize(
    ("front", "says"),
    [
        ("name: kind\nmision: x", "kind.md:3: mision: no such key; did you mean mission?"),
        ("name: very kind", "kind.md:2: name: 'very kind' is no name"),
        ("name: kind\ncapabilities: {a: 1}", "kind.md:3: capabilities: "),
    ],
)
def test_a_wrong_persona_is_named_by_file_line_and_field(front: str, says: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        persona(front)
    assert says in str(refused.value)


def catalog(of_type: str | None, of_master: str | None) -> Catalog:
    base = builtin_catalog()
    kind = base.types["scan-worker"].model_copy(update={"persona": of_type})
    master = base.masters["security-master"].model_copy(update={"persona": of_master})
    personas = {name: persona(f"name: {name}\ncharacter: I am {name}.") for name in ("a", "b")}
    return replace(
        base,
        types={**base.types, kind.name: kind},
        masters={**base.masters, master.name: master},
        personas=personas,
    )


@pytest.mark.parametrize(
    ("of_type", "of_master", "wanted"),
    [("a", "b", "a"), (None, "b", "b"), ("a", None, "a"), (None, None, None), ("c", "b", None)],
)
def test_a_workers_spec_has_its_types_persona_or_else_its_masters(
    of_type: str | None, of_master: str | None, wanted: str | None
) -> None:
    world = World(catalog=catalog(of_type, of_master))
    task = world.task(type="scan")
    (ident,) = task.workers
    spec = worker_spec(task, world.state.workers[ident], world.catalog)
    WorkerSpecDocument.model_validate(spec)
    told = {"name": wanted, "text": f"I am {wanted}.\n"} if wanted else None
    assert spec.get("persona") == told
