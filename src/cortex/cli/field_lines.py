"""Finds the line on which a field of a JSON or YAML text stands, for messages about that field."""

from __future__ import annotations

import re

__all__ = ["line_of_field"]

_STEP = re.compile(r"[^.\[\]]+")


def line_of_field(text: str, field: str | None) -> int | None:
    """The line, from 1, of a dotted path like `workers.0.name` or `workers[0].name`.

    The deepest part of the path that is there counts; None where the text cannot be read so.
    """
    import yaml

    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        node = yaml.compose(text, Loader=loader)
    except yaml.YAMLError:
        return None
    if node is None:
        return None
    line = int(node.start_mark.line)
    for step in _STEP.findall(field or ""):
        found = None
        if isinstance(node, yaml.MappingNode):
            found = next((pair for pair in node.value if pair[0].value == step), None)
            if found is not None:
                line, node = int(found[0].start_mark.line), found[1]
        elif isinstance(node, yaml.SequenceNode) and step.isdigit():
            found = node.value[int(step)] if int(step) < len(node.value) else None
            if found is not None:
                line, node = int(found.start_mark.line), found
        if found is None:
            break
    return line + 1
