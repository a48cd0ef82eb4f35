"""Numbers in sentences are in the singular where they are one."""

import pytest

from cortex.model.words import counted


@pytest.mark.parametrize(
    ("number", "words", "told"),
    [
        (0, ("file",), "0 files"),
        (1, ("file",), "1 file"),
        (2, ("file",), "2 files"),
        (1200, ("line",), "1,200 lines"),
        (1, ("advisory", "advisories"), "1 advisory"),
        (2, ("advisory", "advisories"), "2 advisories"),
    ],
)
def test_one_is_told_in_the_singular_and_all_else_in_the_plural(
    number: int, words: tuple[str, ...], told: str
) -> None:
    assert counted(number, *words) == told
