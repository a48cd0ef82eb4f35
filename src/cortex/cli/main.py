"""The entry point of `cortex`: its commands, loaded when they are called, and how errors end it."""

from __future__ import annotations

import importlib
import io
import os
import sys
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperGroup

from cortex.cli import exits
from cortex.cli.options import HomeOption, opened_home, remember_home
from cortex.model.errors import CortexError

__all__ = ["COMMANDS", "main"]

CONTEXT: dict[str, Any] = {"help_option_names": ["-h", "--help"], "max_content_width": 100}


class Command(NamedTuple):
    """Where a command lives, and its line in the overview."""

    section: str
    module: str
    function: str
    summary: str


COMMANDS = {
    "init": Command("Start", "init", "init", "Make a folder a Cortex home."),
    "submit": Command("Start", "submit", "submit", "Hand in tasks: files, stdin or options."),
    "schedule": Command("Start", "schedule", "schedule", "Let work come back by itself."),
    "status": Command("Look", "status", "status", "Tell whether all is well, and if not, why."),
    "get": Command("Look", "get", "get", "List tasks, workers, budget, handoffs and more."),
    "describe": Command("Look", "describe", "describe", "Tell all about one thing."),
    "logs": Command("Look", "logs", "logs", "Show what workers printed."),
    "events": Command("Look", "events", "events", "Show what happened, from the journal."),
    "why": Command("Look", "why", "why", "Explain how something came to be as it is."),
    "report": Command("Look", "report", "report", "Tell the whole story of a task."),
    "top": Command("Look", "top", "top", "Watch everything live."),
    "replay": Command("Look", "replay", "replay", "Show the files as they were at a past moment."),
    "whatif": Command("Look", "whatif", "whatif", "Decide past days again under other settings."),
    "sla": Command("Look", "sla", "sla", "Tell which deadlines were kept."),
    "wait": Command("Look", "wait", "wait", "Wait until tasks or workers end."),
    "cancel": Command("Act", "verbs", "cancel", "Cancel tasks."),
    "retry": Command("Act", "verbs", "retry", "Run failed or cancelled tasks again."),
    "pause": Command("Act", "verbs", "pause", "Hold tasks, or all new starts."),
    "resume": Command("Act", "verbs", "resume", "Let paused tasks go on."),
    "drain": Command("Act", "verbs", "drain", "Start nothing new; the daemon leaves when idle."),
    "approve": Command("Act", "verbs", "approve", "Say yes to what waits for it."),
    "deny": Command("Act", "verbs", "deny", "Say no; the task is cancelled."),
    "handoff": Command("Act", "verbs", "handoff", "Accept or reject a handoff."),
    "fetch": Command("Act", "fetch", "fetch", "Take branches of finished work."),
    "edit": Command("Act", "edit", "edit", "Change one thing in your editor."),
    "budget": Command("Act", "budget", "budget", "Show the token budget, or change its total."),
    "validate": Command("Check", "validate", "validate", "Check files before they are used."),
    "fsck": Command("Check", "fsck", "fsck", "Check the home's books, files and processes."),
    "doctor": Command("Check", "doctor", "doctor", "Check this machine, and the home's daemon."),
    "service": Command("Check", "service", "service", "Let systemd run the daemon."),
    "drill": Command("Check", "drill", "drill", "Prove here that nothing is lost or doubled."),
    "completion": Command("Check", "completion", "completion", "Print shell completion."),
}


class CommandGroup(TyperGroup):
    """Loads a command's module when that command is asked for, and no other."""

    def __init__(self, **attributes: Any) -> None:
        super().__init__(**attributes)
        self.commands = dict.fromkeys(COMMANDS)  # type: ignore[assignment] # names for suggestions

    def invoke(self, ctx: Any) -> Any:
        """Runs the command; one whose reader has gone, as in `| head`, has done its work."""
        try:
            try:
                return super().invoke(ctx)
            finally:
                sys.stdout.flush()
        except BrokenPipeError:
            _give_up_output()
            raise SystemExit(exits.OK) from None

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - typer's signature
        """The names, in the order of the overview."""
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        """The command of that name, imported now; None if there is none."""
        command = COMMANDS.get(cmd_name)
        return None if command is None else _load(cmd_name, command)

    def format_commands(self, ctx: Any, formatter: Any) -> None:  # noqa: ARG002
        """The overview in sections, without importing any command."""
        for section in dict.fromkeys(command.section for command in COMMANDS.values()):
            with formatter.section(section):
                formatter.write_dl(
                    [
                        (name, command.summary)
                        for name, command in COMMANDS.items()
                        if command.section == section
                    ],
                    col_max=12,
                )


def _load(name: str, command: Command) -> Any:
    module = importlib.import_module(f"cortex.cli.{command.module}")
    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    examples = module.EXAMPLES
    text = examples[name] if isinstance(examples, dict) else examples
    app.command(
        name=name, epilog=f"\b\nExamples:\n{text.strip(chr(10))}", context_settings=CONTEXT
    )(getattr(module, command.function))
    return typer.main.get_command(app)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        print(f"cortex {version('cortexd')}")
        raise typer.Exit


def _root(
    home: HomeOption = None,
    version: Annotated[  # noqa: ARG001 - its callback acts
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    """Coordinates fleets of short-lived workers through files in a home folder.

    Every command reads and writes files that you can read and write too; `cortexd` does the work.
    """
    remember_home(home)


_START = """\b
First steps:
  cortex init ~/fleet && cd ~/fleet
  cortexd &
  cortex submit --command "make test" -r ~/src/app --follow
  cortex get tasks

Exit codes: 0 done, 1 failed, 2 usage, 3 time limit, 4 no daemon runs."""


def _command() -> Any:
    app = typer.Typer(
        name="cortex",
        cls=CommandGroup,
        # Registers the shells; its own two options would only clutter the help.
        add_completion="_CORTEX_COMPLETE" in os.environ,
        no_args_is_help=True,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings=CONTEXT,
        epilog=_START,
    )
    app.callback()(_root)
    return typer.main.get_command(app)


def main() -> None:
    """Runs `cortex`; a person's mistake ends with one sentence on stderr and an exit code."""
    _settle_outputs()
    try:
        _command()(prog_name="cortex")
    except CortexError as error:
        from cortex.cli.terminal import clean
        from cortex.home import DaemonAbsentError

        print(f"cortex: {clean(error)}", file=sys.stderr)
        sys.exit(exits.NO_DAEMON if isinstance(error, DaemonAbsentError) else exits.FAILED)
    except OSError as error:
        from cortex.cli.terminal import note

        _give_up_output()
        what = "the output cannot be written" if error.filename is None else str(error.filename)
        note(f"{what}: {error.strerror or error}")
        sys.exit(exits.FAILED)
    except Exception:
        if not _is_edited_by_hand():
            raise
        sys.exit(exits.FAILED)


def _is_edited_by_hand() -> bool:
    """Whether what went wrong is that somebody wrote into a published file what cannot stand there;
    says so then.
    """
    from cortex.cli.checks import edited_by_hand
    from cortex.cli.terminal import note

    home = opened_home()
    problem = edited_by_hand(home.paths) if home is not None else None
    if problem is not None:
        note(
            f"{problem}; the file was edited by hand. A running daemon restores it within seconds; "
            "without one, correct or remove it and start cortexd"
        )
    return problem is not None


def _settle_outputs() -> None:
    """A closed stream becomes one that nobody is at; a letter that a terminal cannot show becomes
    its number.
    """
    for name in ("stdin", "stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            nobody = Path(os.devnull).open("r+", encoding="utf-8")  # noqa: SIM115 - until the end
            setattr(sys, name, nobody)
        elif isinstance(stream, io.TextIOWrapper) and name == "stdout":
            stream.reconfigure(errors="backslashreplace")


def _give_up_output() -> None:
    """What is still buffered must not fail again when the interpreter ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


if __name__ == "__main__":
    main()
