"""`cortex report`: the whole story of a task for a person, as Markdown or one HTML page."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from cortex.cli.options import HomeOption, fail_usage, open_home
from cortex.cli.terminal import note
from cortex.cli.verbs import complete_tasks
from cortex.model.errors import HomeError

__all__ = ["EXAMPLES", "report"]

EXAMPLES = """
  cortex report task-010                        Markdown, to read or to paste
  cortex report task-010 --file story.html      one page without outside parts
  cortex report task-010 --format html | mail …
"""


class Form(StrEnum):
    """What a report is written in."""

    markdown = "markdown"
    html = "html"


def report(
    task: Annotated[
        str, typer.Argument(metavar="TASK", help="Its id.", autocompletion=complete_tasks)
    ],
    form: Annotated[
        Form | None,
        typer.Option("--format", metavar="FORM", help="markdown or html; else by --file's name."),
    ] = None,
    file: Annotated[
        Path | None, typer.Option("--file", metavar="FILE", help="Write it there.")
    ] = None,
    home: HomeOption = None,
) -> None:
    """Tell the whole story of a task: plan, timeline, tokens, findings, decisions and why."""
    from cortex.home.story import story_of

    by_name = file is not None and file.suffix.lower() in (".html", ".htm")
    if form is Form.markdown and by_name:
        raise fail_usage(f"--format markdown and --file {file} contradict each other")
    story = story_of(open_home(home), task)
    if form is Form.html or by_name:
        from cortex.cli.report_html import story_html

        text = story_html(story)
    else:
        from cortex.cli.report_markdown import story_markdown

        text = story_markdown(story)
    if file is None:
        sys.stdout.write(text)
        return
    _write(file, text)
    note(f"wrote {file}")


def _write(file: Path, text: str) -> None:
    """Whole or not at all: a page that is open in a browser is never seen half."""
    if file.is_dir():
        raise HomeError(f"{file}: cannot be written: it is a folder; name a file in it")
    draft = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        draft.write_text(text, encoding="utf-8", errors="replace")
        draft.rename(file)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise HomeError(f"{file}: cannot be written: {error.strerror}") from None
