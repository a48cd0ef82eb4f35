"""What a YAML parser complains of, in plain words that say what to do.

For the front matter of definitions and for dropped files alike; where it stands is told beside it.
"""

from __future__ import annotations

import re

__all__ = ["yaml_words"]

#: Beginnings of what PyYAML's scanner and parser say, which follow YAML's own grammar.
_WORDS = (
    (r"mapping values are not allowed", "a second `: ` on one line; put the text in quotes"),
    (r"found character '\\t'", "a tab; indent with spaces"),
    (r"found character (?P<sign>.+) that cannot", "begins with {sign}; put the text in quotes"),
    (r"could not find expected ':'", "a line without `: ` behind its key"),
    (r"found unexpected end of stream", "a quote that is not closed"),
    (r"found unexpected document separator", "a quote that is not closed"),
    (r"expected ',' or ']'", "a list that is not closed with ]"),
    (r"expected ',' or '}'", "an object that is not closed with }}"),
    (r"expected <block end>", "does not fit to the lines above it; look at how they are indented"),
    (r"expected alphabetic or numeric", "begins with * or &; put the text in quotes"),
    (r"found undefined alias", "begins with *; put the text in quotes"),
)


def yaml_words(problem: str | None) -> str:
    """A sentence about the parser's `problem`; what has no words of ours stays as it is."""
    for pattern, words in _WORDS:
        found = re.match(pattern, problem or "")
        if found is not None:
            return words.format(**found.groupdict())
    return problem or "not valid YAML"
