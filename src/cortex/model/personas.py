"""Personas as files: who a worker is, beside what it is to do. Markdown with YAML front matter.

A master or worker type names one as its `persona`; an agent is told its text. Which worker gets
which is `decide.spec`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from cortex.model.front_matter import read_front_matter, validate
from cortex.model.ids import is_user_id

__all__ = ["PersonaDefinition", "PersonaName", "read_persona"]


def _name(value: str) -> str:
    if not is_user_id(value):
        raise ValueError(f"{value!r} is no name; use letters, digits and . _ - (at most 64)")
    return value


def _lines(value: Any) -> Any:
    """One text is a list of one: a sentence may hold commas."""
    return [value] if isinstance(value, str) else value


PersonaName = Annotated[str, AfterValidator(_name)]
Lines = Annotated[list[str], BeforeValidator(_lines)]


class PersonaDefinition(BaseModel):
    """One file under agents/personas/."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: PersonaName = Field(description="How masters and types call it; else the file's name.")
    description: str = Field("", description="For people, in lists.")
    character: str = Field("", description="Who it is, in a sentence.")
    mission: str = Field("", description="What it is there for.")
    personality: Lines = Field(default_factory=list, description="How it is to work with.")
    capabilities: Lines = Field(default_factory=list, description="What it is good at.")
    autonomy: str = Field("", description="What it decides alone, and what it leaves to others.")
    decision_making: Lines = Field(
        default_factory=list, description="How it decides where more than one way is right."
    )
    prompt: str = ""

    @property
    def text(self) -> str:
        """What an agent is told of it: the front matter in words, then the text below it."""
        parts = [
            self.character,
            self.mission and f"Your mission: {self.mission}",
            _listed("How you work", self.personality),
            _listed("What you are good at", self.capabilities),
            self.autonomy and f"What you decide: {self.autonomy}",
            _listed("How you decide", self.decision_making),
            self.prompt.strip(),
        ]
        return "\n\n".join(part.strip() for part in parts if part) + "\n"


def _listed(head: str, lines: list[str]) -> str:
    return "\n".join([f"{head}:", *(f"- {line}" for line in lines)]) if lines else ""


def read_persona(text: str, path: Path) -> PersonaDefinition:
    """The persona that a file under agents/personas/ describes; DefinitionError if it cannot be."""
    data, body = read_front_matter(text, path)
    data.setdefault("name", path.stem)
    return validate(PersonaDefinition, data, body, text, path)
