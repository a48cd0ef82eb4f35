"""A model behind a program: the question goes to its standard input, its output is the answer.

So `claude -p`, a script, or anything else that reads and prints can be asked. What it used is not
known here; a program that knows can say so itself, by keeping the worker contract.
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
from collections.abc import Sequence

from cortex.model.errors import ModelError
from cortex.model.seams import Completion, ModelRequest
from cortex.worker.draining import drain

__all__ = ["ProgramModel"]

_OUTPUT_BYTES_AT_MOST = 1024 * 1024


class ProgramModel:
    """Asks a program, one process for each question. Its standard error goes to the worker's log.

    Nothing bounds its time here: the worker's own timeout does, and ends its whole tree.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = list(argv)

    def complete(self, request: ModelRequest) -> Completion:
        """What it printed; ModelError where it cannot be started, fails, or prints too much."""
        question = f"{request.system}\n\n{request.prompt}".strip() + "\n"
        try:
            process = subprocess.Popen(
                self._argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, process_group=0
            )
        except OSError as error:
            said = f"{self._argv[0]} cannot be started: {error.strerror}"
            raise ModelError(said, permanent=True) from None
        answer = _exchange(process, question.encode("utf-8", "replace"))
        if len(answer) > _OUTPUT_BYTES_AT_MOST:
            raise ModelError(f"{self._argv[0]} printed more than {_OUTPUT_BYTES_AT_MOST} bytes")
        if process.returncode != 0:
            how = f"exit {process.returncode}"
            if process.returncode < 0:
                how = f"signal {-process.returncode}"
            raise ModelError(f"{self._argv[0]} ended with {how}; its log says more")
        return Completion(answer.decode("utf-8", "replace"))


def _exchange(process: subprocess.Popen[bytes], question: bytes) -> bytes:
    """The program's output, which is ended where that is too much; one that reads nothing of the
    question is no error.
    """
    threading.Thread(target=_ask, args=(process, question), daemon=True).start()
    answer = bytearray()
    with contextlib.closing(drain(process)) as pieces:
        for piece in pieces:
            answer += piece
            if len(answer) > _OUTPUT_BYTES_AT_MOST:
                break
    return bytes(answer)


def _ask(process: subprocess.Popen[bytes], question: bytes) -> None:
    assert process.stdin is not None
    with contextlib.suppress(BrokenPipeError), process.stdin as pipe:
        pipe.write(question)
