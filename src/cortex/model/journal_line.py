"""The codec of one journal line: an atomic transaction with its place in the chain.

    {"seq":412,"prev":"77ab01cd","synced":409,"at":"…","by":"…","why":"…","events":[…],"crc":"…"}

`crc` is CRC-32 of the exact bytes before `,"crc"`; `prev` is the crc of the line before; `synced`
is the last seq that was known durable when the line was written. The first line of a segment, and
the first that a daemon writes in its life, also carries `format` and `written_by`. Files, segments
and recovery are `store.journal`'s business.
"""

import json
import zlib
from dataclasses import dataclass
from typing import Any

from cortex.model.formats import WRITER

__all__ = [
    "FIRST_PREV",
    "BadLine",
    "Head",
    "Line",
    "check",
    "decode",
    "encode",
    "opens_a_day",
    "read_whole_lines",
]

FIRST_PREV = "00000000"
_TAIL_LENGTH = len(b',"crc":"00000000"}')
# What stands before the events is short, whatever the reason: seq and prev come first.
_HEAD_LENGTH = 60
_OPENING_LENGTH = 400

_encode = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), allow_nan=False).encode
_encode_ascii = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode


class BadLine(ValueError):  # noqa: N818 - a verdict on the line, not a fault of ours
    """The bytes are not one whole, undamaged journal line; the message says why."""


@dataclass(frozen=True, slots=True)
class Line:
    """One transaction. `at` is RFC 3339 in UTC; `crc` and `prev` are eight hex digits."""

    seq: int
    prev: str
    synced: int
    at: str
    by: str
    why: str
    events: list[dict[str, Any]]
    crc: str
    format: int | None = None
    written_by: str | None = None


@dataclass(frozen=True, slots=True)
class Head:
    """What checking a line without parsing it tells."""

    seq: int
    prev: str
    crc: str


def encode(
    *,
    seq: int,
    prev: str,
    synced: int,
    at: str,
    by: str,
    why: str,
    events: list[dict[str, Any]] | bytes,
    format_number: int | None = None,
) -> tuple[bytes, str]:
    """The line's bytes, newline included, and its crc. ValueError for NaN or Infinity.

    Events may come as a JSON array that is encoded already.
    """
    fields: dict[str, Any] = {
        "seq": seq,
        "prev": prev,
        "synced": synced,
        "at": at,
        "by": by,
        "why": why,
    }
    if format_number is not None:
        fields["format"] = format_number
        fields["written_by"] = WRITER
    if isinstance(events, bytes):
        return _sealed(b'%b,"events":%b' % (_encode(fields)[:-1].encode(), events))
    fields["events"] = events
    try:
        body = _encode(fields)[:-1].encode()
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8 form; escaped it survives and the line stays readable.
        body = _encode_ascii(fields)[:-1].encode()
    return _sealed(body)


def _sealed(body: bytes) -> tuple[bytes, str]:
    crc = f"{zlib.crc32(body):08x}"
    return b'%b,"crc":"%b"}\n' % (body, crc.encode()), crc


def check(raw: bytes) -> Head:
    """Place and crc of a line without parsing its events; BadLine unless its bytes are whole."""
    crc = _checked_crc(raw)
    start = raw.find(b'"prev":"', 0, _HEAD_LENGTH) + 8
    try:
        return Head(int(raw[7 : raw.index(b",")]), raw[start : start + 8].decode("ascii"), crc)
    except ValueError:
        raise BadLine("the line does not begin with seq and prev") from None


def opens_a_day(raw: bytes) -> bool:
    """Whether this line is the first of its segment and holds the state as of the line before."""
    return b'"events":[{"event":"day_opened",' in raw[:_OPENING_LENGTH]


def decode(raw: bytes) -> Line:
    """The line that the bytes hold, with or without their newline; BadLine if they are damaged."""
    if raw.endswith(b"\n"):
        raw = raw[:-1]
    crc = _checked_crc(raw)
    try:
        line = _line(json.loads(raw), crc)
    except (ValueError, KeyError, TypeError) as error:
        raise BadLine(f"the line is not a journal line: {error}") from None
    return line


def read_whole_lines(data: bytes) -> tuple[list[Line], int]:
    """For those who follow a journal that somebody else writes: the lines that are whole, and
    how many bytes they took. Stops without complaint at the first that is not whole yet."""
    lines: list[Line] = []
    offset = 0
    while (end := data.find(b"\n", offset)) >= 0:
        try:
            lines.append(decode(data[offset:end]))
        except BadLine:
            break
        offset = end + 1
    return lines, offset


def _checked_crc(raw: bytes) -> str:
    body = raw[:-_TAIL_LENGTH]
    crc = f"{zlib.crc32(body):08x}"
    if raw[len(body) :] != b',"crc":"%b"}' % crc.encode():
        raise BadLine("the line is cut off or its bytes do not match its crc")
    return crc


def _line(fields: dict[str, Any], crc: str) -> Line:
    events = fields["events"]
    if type(fields["seq"]) is not int or type(fields["synced"]) is not int:
        raise TypeError("seq and synced must be whole numbers")
    if not isinstance(events, list) or not all(isinstance(event, dict) for event in events):
        raise TypeError("events must be a list of objects")
    return Line(
        fields["seq"],
        fields["prev"],
        fields["synced"],
        fields["at"],
        fields["by"],
        fields["why"],
        events,
        crc,
        fields.get("format"),
        fields.get("written_by"),
    )
