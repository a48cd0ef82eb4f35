"""`cortex edit`: one row in an editor; what was changed is dropped as an edit of its file.

The text that somebody wrote is kept until the daemon has taken it up, whatever goes wrong.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cortex.cli.options import HomeOption, Output, OutputOption, fail_usage, open_home
from cortex.cli.requesting import RefusedError, await_outcome
from cortex.cli.terminal import clean, note
from cortex.cli.verbs import complete_tasks
from cortex.model.errors import CortexError, HomeError

if TYPE_CHECKING:
    from cortex.cli.edit_text import Subject
    from cortex.home import Home

__all__ = ["EXAMPLES", "edit"]

EXAMPLES = """
  cortex edit task-010            priority, title, scope, status and more
  cortex edit handoff-003         accept it, or reject it with a reason
  cortex edit budget              the total
  EDITOR=nano cortex edit task-010 -o json
"""

#: An editor that is a script can change its text without end; what it wrote is kept after so many.
_MOST_TRIES = 10


class EditAbortedError(CortexError):
    """The edit came to nothing; the message says where the text was kept."""


def edit(
    ident: Annotated[
        str,
        typer.Argument(
            metavar="ID",
            help="A task, handoff, escalation, approval or schedule; or: budget.",
            autocompletion=complete_tasks,
        ),
    ],
    reason: Annotated[
        str | None,
        typer.Option("--reason", "-m", metavar="TEXT", help="Why; goes into the journal."),
    ] = None,
    output: OutputOption = None,
    home: HomeOption = None,
) -> None:
    """Change one thing in your editor ($VISUAL, $EDITOR, else vi).

    What you may change stands in the text; the rest is above it as comments. Nothing happens if you
    leave it unchanged or empty. A change that is refused comes back with the reason on top.
    """
    if output not in (None, Output.yaml, Output.json):
        raise fail_usage(f"--output: edit knows json and yaml, not {output.value}")
    from cortex.cli.edit_text import find_subject

    place = open_home(home)
    subject = find_subject(place, ident)
    if subject is None:
        raise HomeError(f"{ident}: nothing here has this id that could be edited")
    _Session(place, subject, output is Output.json, reason).run()


class _SameAgainError(Exception):
    """The text asks once more for what was refused: somebody gives up, or nobody sits there."""


class _Session:
    """One text, opened again and again until it is taken up, unchanged, or given up."""

    def __init__(self, home: Home, subject: Subject, is_json: bool, reason: str | None) -> None:
        self._home = home
        self._subject = subject
        self._is_json = is_json
        self._reason = reason
        self._file = _new_file(subject.ident, ".json" if is_json else ".yaml")
        self._refused: object = None

    def run(self) -> None:
        """Until an end. CortexError where it ends without effect, and the text is kept."""
        from cortex.cli.edit_text import text_of

        text = text_of(self._subject, self._is_json)
        problem = ""
        for _ in range(_MOST_TRIES):
            self._file.write_text(text, encoding="utf-8")
            opened = self._file.read_bytes()
            self._open_editor()
            written = self._file.read_bytes()
            if written == opened and problem:
                break
            try:
                self._take(written)
                return
            except _SameAgainError:
                break
            except CortexError as error:
                problem = str(error)
            text = text_of(self._subject, self._is_json, problem, written)
        raise EditAbortedError(f"{problem}\ngiven up; your text is in {self._file}")

    def _take(self, written: bytes) -> None:
        """Does what the text asks for. CortexError where it is refused, _SameAgainError where it
        asks for just what was refused before, whatever has become of the comments above it."""
        from cortex.cli.edit_text import body_of, read_text

        try:
            changes = read_text(self._subject, written, self._is_json)
        except CortexError:
            self._ask_once(body_of(written))
            raise
        if changes:
            self._ask_once(changes)
            self._hand_in(changes)
        else:
            self._file.unlink()
            print("nothing was changed")

    def _ask_once(self, asked: object) -> None:
        if asked == self._refused:
            raise _SameAgainError
        self._refused = asked

    def _open_editor(self) -> None:
        import os
        import shlex
        import subprocess

        editor = os.environ.get("VISUAL") or os.environ.get("EDITOR") or ""
        try:
            words = shlex.split(editor) or ["vi"]
            code = subprocess.run([*words, str(self._file)], check=False).returncode
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            raise EditAbortedError(
                f"the editor {editor or 'vi'!r} cannot be started ({why}); set VISUAL or "
                f"EDITOR. The text is in {self._file}"
            ) from None
        if code != 0:
            raise EditAbortedError(
                f"the editor ended with {code}, so nothing was done; your text is in {self._file}"
            )

    def _hand_in(self, changes: dict[str, Any]) -> None:
        """Drops the change. Returns once it is taken up or left for a later daemon."""
        payload = self._subject.request(changes)
        if self._reason:
            payload["reason"] = self._reason
        receipt = self._home.submit(payload)
        try:
            outcome = await_outcome(self._home, receipt)
        except RefusedError as error:
            self._subject = self._subject.as_of_now(self._home)
            raise RefusedError(self._parts(receipt.name) or str(error)) from None
        if outcome is not None:
            print(f"{clean(self._subject.ident)} changed: {', '.join(changes)}")
        else:
            where = self._home.paths.inbox / receipt.name
            running = self._home.daemon().running
            text = "the daemon has not taken it up yet" if running else "no daemon runs"
            note(f"{text}; the change waits in {where}")
        self._file.unlink(missing_ok=True)

    def _parts(self, name: str) -> str:
        """What was refused field by field, a line each."""
        from cortex.home.submit import rejection_of

        error = rejection_of(self._home.paths, name) or {}
        lines = []
        for part in error.get("refused") or ():
            values = f" (yours: {part.get('yours')}, now: {part.get('now')})"
            lines.append(f"{part.get('field') or part.get('where')}: {part.get('reason')}{values}")
            lines += [f"  {part['hint']}"] if part.get("hint") else []
        return "\n".join(lines)


def _new_file(ident: str, ending: str) -> Path:
    """An empty file that only its owner can read, outside of the home."""
    import os
    import tempfile

    handle, name = tempfile.mkstemp(prefix=f"cortex-{ident}-", suffix=ending)
    os.close(handle)
    return Path(name)
