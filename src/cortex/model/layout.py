"""How published documents look: pretty JSON in a stable order, so that a diff reads well.

One field a line; a nested value stays on its field's line, but a list of objects has one line an
item. A row is encoded once, when it changes; a document is joined from its rows' bytes.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from json.encoder import encode_basestring, encode_basestring_ascii
from typing import Any

__all__ = ["encode_row", "join"]

_compact = json.JSONEncoder(ensure_ascii=False, allow_nan=False).encode
_compact_ascii = json.JSONEncoder(allow_nan=False).encode

_ROW_INDENT = "    "
_FIELD_INDENT = "      "
_BETWEEN_ROWS = (",\n" + _ROW_INDENT).encode()


def encode_row(row: Mapping[str, Any]) -> bytes:
    """One row of a document's list, as `join` takes it. ValueError for NaN or Infinity."""
    if not row:
        return b"{}"
    return _bytes(lambda ascii_only: _row_text(row, ascii_only))


def join(
    header: Mapping[str, Any],
    lists: Mapping[str, Sequence[bytes]],
    order: Sequence[str] | None = None,
) -> list[bytes]:
    """The whole document in a few chunks: header fields first, then each list of encoded rows.

    `order` names the lists in their order of appearance; without it, the order of `lists`.
    """
    names = list(lists) if order is None else list(order)
    chunks = [_bytes(lambda ascii_only: _header_text(header, ascii_only))]
    for name in names:
        lead = "{\n  " if len(chunks) == 1 and not header else ",\n  "
        label = f"{lead}{encode_basestring(name)}: [".encode()
        rows = lists[name]
        if not rows:
            chunks.append(label + b"]")
            continue
        chunks.append(label + b"\n" + _ROW_INDENT.encode())
        chunks.append(_BETWEEN_ROWS.join(rows))
        chunks.append(b"\n  ]")
    chunks.append(b"\n}\n" if header or names else b"{}\n")
    return chunks


def _bytes(text: Callable[[bool], str]) -> bytes:
    try:
        return text(False).encode()
    except UnicodeEncodeError:
        # A lone surrogate has no UTF-8 form; escaped, the document stays readable.
        return text(True).encode()


def _row_text(row: Mapping[str, Any], ascii_only: bool) -> str:
    quote = encode_basestring_ascii if ascii_only else encode_basestring
    fields = []
    for name, value in row.items():
        # The kinds of nearly all fields, without the cost of a general encoder.
        if type(value) is str:
            text = quote(value)
        elif value is None:
            text = "null"
        elif type(value) is int:
            text = str(value)
        else:
            text = _value_text(value, ascii_only, _FIELD_INDENT, entries=False)
        fields.append(f"{quote(name)}: {text}")
    inner = (",\n" + _FIELD_INDENT).join(fields)
    return f"{{\n{_FIELD_INDENT}{inner}\n{_ROW_INDENT}}}"


def _header_text(header: Mapping[str, Any], ascii_only: bool) -> str:
    if not header:
        return ""
    quote = encode_basestring_ascii if ascii_only else encode_basestring
    fields = (
        f"{quote(name)}: {_value_text(value, ascii_only, '  ', entries=True)}"
        for name, value in header.items()
    )
    return "{\n  " + ",\n  ".join(fields)


def _value_text(value: Any, ascii_only: bool, indent: str, *, entries: bool) -> str:
    """One value after its field's name; `entries` gives an object of objects one line an entry."""
    compact = _compact_ascii if ascii_only else _compact
    if isinstance(value, list | tuple) and value and isinstance(value[0], dict):
        items = [compact(item) for item in value]
        return _block("[", items, "]", indent)
    if entries and isinstance(value, dict) and _holds_objects(value):
        quote = encode_basestring_ascii if ascii_only else encode_basestring
        items = [f"{quote(str(name))}: {compact(item)}" for name, item in value.items()]
        return _block("{", items, "}", indent)
    return compact(value)


def _holds_objects(value: dict[str, Any]) -> bool:
    return any(isinstance(item, dict) for item in value.values())


def _block(opener: str, items: list[str], closer: str, indent: str) -> str:
    inner = (",\n" + indent + "  ").join(items)
    return f"{opener}\n{indent}  {inner}\n{indent}{closer}"
