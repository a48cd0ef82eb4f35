"""`cortex completion`: prints the script that completes commands and ids in a shell."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer

__all__ = ["EXAMPLES", "completion"]

EXAMPLES = """
  source <(cortex completion bash)
  cortex completion bash > /etc/bash_completion.d/cortex
  cortex completion zsh > "${fpath[1]}/_cortex"
  cortex completion fish > ~/.config/fish/completions/cortex.fish
"""


class Shell(StrEnum):
    """The shells that a script exists for."""

    bash = "bash"
    zsh = "zsh"
    fish = "fish"


def completion(
    shell: Annotated[
        Shell, typer.Argument(metavar="SHELL", help="bash, zsh or fish.", show_default=False)
    ],
) -> None:
    """Print shell completion: commands, options, kinds and the ids of tasks."""
    from typer.completion import get_completion_script  # type: ignore[attr-defined]

    print(
        get_completion_script(
            prog_name="cortex", complete_var="_CORTEX_COMPLETE", shell=shell.value
        )
    )
