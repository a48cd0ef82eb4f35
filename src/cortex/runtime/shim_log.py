"""The worker's log.md: a head, the program's output in a fence, a foot.

Output is untrusted: terminal escapes and control characters are made visible instead of obeyed,
and it is cut at a limit. A log that can no longer be written never stops the worker.
"""

from __future__ import annotations

import codecs
import os
import time

TYPE_CHECKING = False
if TYPE_CHECKING:
    from cortex.runtime.shim_order import Order

TAIL_BYTES = 2048
_FENCE = "~~~~~~~~"
_BROKEN_FENCE = "~~~~ ~~~~"


def _neutral_table() -> dict[int, str]:
    """Control characters to their pictures (U+2400…), direction marks to a replacement."""
    table = {code: chr(0x2400 + code) for code in range(0x20) if chr(code) not in "\n\t\r"}
    table[0x0D] = "\n"  # a bare carriage return would overwrite what stands in its line
    table[0x7F] = "\u2421"
    hidden = [*range(0x80, 0xA0), 0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A)]
    table.update(dict.fromkeys(hidden, "\ufffd"))
    return table


_NEUTRAL = _neutral_table()
_new_decoder = codecs.getincrementaldecoder("utf-8")


def neutralise(text: str) -> str:
    """`text` with everything that a terminal would obey made visible."""
    return text.replace("\r\n", "\n").translate(_NEUTRAL)


def one_line(text: str, longest: int = 500) -> str:
    """`text` as one harmless line, cut to `longest` characters."""
    line = neutralise(text).replace("\n", " ")
    return line if len(line) <= longest else line[:longest] + "…"


def timestamp(seconds: float | None = None) -> str:
    """RFC 3339 UTC with milliseconds and Z."""
    moment = time.time() if seconds is None else seconds
    whole = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(moment))
    return f"{whole}.{int(moment % 1 * 1000):03d}Z"


class Log:
    """An open log.md. `seen_bytes` counts the output, `cut` tells that not all was kept."""

    def __init__(self, order: Order) -> None:
        """Create it with its head; raises OSError where that is impossible."""
        self._file: int | None = os.open(
            f"{order.worker_dir}/log.md",
            os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW,
            0o644,
        )
        self._room_bytes = order.log_limit_bytes
        self._decoder = _new_decoder("replace")
        self._tildes = ""
        self._tail = b""
        self._at_line_start = True
        self.seen_bytes = 0
        self.cut = False
        self._write(_head(order))

    def output(self, chunk: bytes) -> None:
        """Take one piece of the program's output."""
        self.seen_bytes += len(chunk)
        self._tail = chunk[-TAIL_BYTES:] if len(chunk) >= TAIL_BYTES else self._tail + chunk
        if len(self._tail) > 2 * TAIL_BYTES:
            self._tail = self._tail[-TAIL_BYTES:]
        if self._room_bytes <= 0:
            self.cut = True
            return
        if len(chunk) > self._room_bytes:
            chunk = chunk[: self._room_bytes]
            self.cut = True
        self._room_bytes -= len(chunk)
        self._write_text(self._decoder.decode(chunk))

    def tail(self) -> str:
        """The end of the output, neutralised, at most 2 kB of what came."""
        return neutralise(self._tail[-TAIL_BYTES:].decode("utf-8", "replace"))

    def finish(self, lines: list[str]) -> None:
        """Close the fence, write the foot and close the file."""
        self._write_text(self._decoder.decode(b"", True), last=True)
        foot = f"{'' if self._at_line_start else chr(10)}{_FENCE}\n\n"
        self._write(foot + "".join(f"- {line}\n" for line in lines))
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def _write_text(self, text: str, last: bool = False) -> None:
        text = self._tildes + neutralise(text)
        # Tildes at the end may become a fence with what follows, so they wait for it.
        kept = text if last else text.rstrip("~")
        self._tildes = "" if last else text[len(kept) :][-len(_FENCE) :]
        kept += text[len(kept) : len(text) - len(self._tildes)]
        if kept:
            self._at_line_start = kept.endswith("\n")
            self._write(kept.replace(_FENCE, _BROKEN_FENCE))

    def _write(self, text: str) -> None:
        if self._file is None:
            return
        data = text.encode("utf-8", "replace")
        try:
            while data:
                data = data[os.write(self._file, data) :]
        except OSError:
            # No space, or a file system gone: the worker goes on, its log says it was cut.
            self.cut = True


def _head(order: Order) -> str:
    title = f": {one_line(order.title)}" if order.title else ""
    command = one_line(" ".join(order.argv)).replace("`", "'")
    attempt = f", start {order.nonce}" if order.nonce > 1 else ""
    return (
        f"# {order.worker_id}{title}\n\n"
        f"- task: {one_line(order.task_id) or 'none'}\n"
        f"- command: `{command}`\n"
        f"- folder: {one_line(order.cwd or order.worker_dir)}\n"
        f"- started: {timestamp()}{attempt}\n\n"
        f"{_FENCE}text\n"
    )
