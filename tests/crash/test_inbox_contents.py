"""Contents that no task has: every encoding and every shape that strangers' files come in."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
from refusals import Refusals

from live_home import LiveHome

TEXT = '{"title": "gr\u00fc\u00df dich", "command": "true"}'
DEEP = 100_000


def encodings() -> Iterator[tuple[str, bytes]]:
    """Name → a file that is not the UTF-8 text that it should be."""
    for codec in ("utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"):
        mark = "\ufeff".encode(codec)
        for ending, text in (
            ("json", TEXT),
            ("jsonl", TEXT + "\n"),
            ("yaml", "title: gr\u00fc\u00df\n"),
        ):
            yield f"{codec}-marked.{ending}", mark + text.encode(codec)
            yield f"{codec}-bare.{ending}", text.encode(codec)
    raw = {
        "latin-1": TEXT.encode("latin-1"),
        "cp1252": '{"title": "\u201ex\u201c"}'.encode("cp1252"),
        "shift-jis": '{"title": "\u65e5\u672c"}'.encode("shift-jis"),
        "overlong": b'{"title": "\xc0\x80"}',
        "cut-character": b'{"title": "\xe2\x82"}',
        "surrogate-bytes": b'{"title": "\xed\xa0\x80"}',
        "past-unicode": b'{"title": "\xf5\x80\x80\x80"}',
        "stray-byte": b'{"title": "x"}\xff',
        "nul-inside": b'{"title": "a\0b"}',
        "nul-after": b'{"title": "x"}\0',
        "nul-alone": b"\0",
        "nul-block": bytes(4096),
        "nul-escaped": b'{"title": "a\\u0000b"}',
        "mark-alone": b"\xef\xbb\xbf",
        "mark-twice": b"\xef\xbb\xbf\xef\xbb\xbf" + TEXT.encode(),
        "mark-inside": '{\ufeff"title": "x"}'.encode(),
        "high-surrogate": b'{"title": "\\ud800"}',
        "low-surrogate": b'{"title": "\\udc00"}',
        "turned-pair": b'{"title": "\\udc00\\ud800"}',
        "surrogate-key": b'{"title": "x", "\\udfff": 1}',
        "surrogate-inside": b'{"title": "x", "scope": {"paths": ["a\\ud8ffb"]}}',
    }
    for number in (*range(1, 0x20), 0x7F):
        raw[f"control-{number:02x}"] = b'{"title": "a%cb"}' % number
        raw[f"control-{number:02x}-escaped"] = b'{"title": "a\\u%04xb"}' % number
    for number in (0x80, 0x85, 0x9B, 0x9F):
        raw[f"control-{number:02x}"] = f'{{"title": "a{chr(number)}b"}}'.encode()
    yield from ((f"{name}.json", data) for name, data in raw.items())


def shapes() -> Iterator[tuple[str, bytes]]:
    """Name → text that is not one JSON object, or not the one that it seems."""
    whole = b'{"title": "x", "scope": {"paths": ["a", "b"]}, "retries": 2}'
    for end in range(len(whole)):
        yield f"cut-{end:02d}.json", whole[:end]
    raw = {
        "comma-object": b'{"title": "x",}',
        "comma-list": b'{"title": "x", "needs": ["a",]}',
        "comma-missing": b'{"title": "x" "type": "y"}',
        "nan": b'{"title": "x", "a": NaN}',
        "infinity": b'{"title": "x", "a": Infinity}',
        "minus-infinity": b'{"title": "x", "a": -Infinity}',
        "overflow": b'{"title": "x", "a": 1e999}',
        "overflow-negative": b'{"title": "x", "a": -1e999}',
        "digits": b'{"title": "x", "a": ' + b"9" * 5000 + b"}",
        "fraction-digits": b'{"title": "x", "a": 0.' + b"9" * 5000 + b"}",
        "leading-zero": b'{"title": "x", "retries": 01}',
        "plus": b'{"title": "x", "retries": +1}',
        "hexadecimal": b'{"title": "x", "retries": 0x1}',
        "twice": b'{"title": "x", "title": "y"}',
        "twice-equal": b'{"title": "x", "title": "x"}',
        "twice-escaped": b'{"title": "x", "\\u0074itle": "y"}',
        "twice-deep": b'{"title": "x", "scope": {"paths": [], "paths": []}}',
        "deep-lists": b"[" * DEEP,
        "deep-lists-closed": b"[" * DEEP + b"]" * DEEP,
        "deep-objects": b'{"a":' * DEEP,
        "deep-objects-closed": b'{"a":' * DEEP + b"1" + b"}" * DEEP,
        "deep-in-task": b'{"title": "x", "a": ' + b"[" * 80 + b"]" * 80 + b"}",
        "two-documents": b'{"title": "x"}{"title": "y"}',
        "two-lines": b'{"title": "x"}\n{"title": "y"}\n',
        "text-after": b'{"title": "x"} and so on',
        "number": b"3",
        "string": b'"title"',
        "true": b"true",
        "null": b"null",
        "list": b"[]",
        "list-of-tasks": b'[{"title": "x"}]',
        "nothing": b"",
        "blanks": b" \n\t\r\n ",
        "no-break-space": b'\xc2\xa0{"title": "x"}',
        "comment": b'{"title": "x"} // done',
        "comment-before": b'# a task\n{"title": "x"}',
        "single-quotes": b"{'title': 'x'}",
        "bare-keys": b'{title: "x"}',
        "bad-escape": b'{"title": "\\x41"}',
        "short-escape": b'{"title": "\\u12"}',
        "line-in-string": b'{"title": "a\nb"}',
        "python": b"{'title': None}",
        "html": b"<!DOCTYPE html><title>x</title>",
        "archive": b"PK\x03\x04" + bytes(range(256)),
        "empty-object": b"{}",
        "huge": b'{"title": "' + b"x" * (5 << 20) + b'"}',
        "long-title": b'{"title": "' + b"x" * 501 + b'"}',
    }
    yield from ((f"{name}.json", data) for name, data in raw.items())
    lines = {
        "one-bad": b'{"title": "x"}\n{"title": }\n',
        "cut": b'{"title": "x"}\n{"title": "y"',
        "scalar": b'{"title": "x"}\n3\n',
        "nothing": b"",
        "blank": b"\n\n \n",
        "too-many": b'{"title": "x"}\n' * 10_001,
        "pretty": b'{\n "title": "x"\n}\n',
    }
    yield from ((f"{name}.jsonl", data) for name, data in lines.items())
    laughs = "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 12))
    yaml = {
        "laughs": b"a0: &a0 [x, x]\n" + laughs.encode() + b"title: x\n",
        "itself": b"title: x\na: &a [*a]\n",
        "object": b"title: !!python/object/apply:os.system ['touch /tmp/never']\n",
        "tag": b"!task {title: x}\n",
        "twice": b"title: x\ntitle: y\n",
        "two-documents": b"title: x\n---\ntitle: y\n",
        "tab": b"title: x\nscope:\n\tpaths: []\n",
        "unclosed": b"title: [x\n",
        "nan": b"title: x\na: .nan\n",
        "infinity": b"title: x\na: .inf\n",
        "list": b"- title: x\n",
        "deep": b"[" * 5000,
        "number-key": b"title: x\n1: y\n",
        "list-key": b"title: x\n? [a]\n: y\n",
        "nothing": b"",
        "binary": b"title: x\na: !!binary aGVsbG8=\n",
        "large": b"title: x\na: " + b"y" * (2 << 20) + b"\n",
    }
    yield from ((f"yaml-{name}.yaml", data) for name, data in yaml.items())


ENCODINGS, SHAPES = dict(encodings()), dict(shapes())
#: Where neither line nor field says more than the reason does.
WHOLE_FILE = {"huge.json", "empty-object.json", "yaml-large.yaml"}


@pytest.fixture
def fire(live: LiveHome) -> Refusals:
    return Refusals(live)


def test_every_encoding_but_utf_8_is_refused_byte_for_byte(fire: Refusals) -> None:
    for name, data in ENCODINGS.items():
        fire.drop_bad(name, data)
    errors = fire.settle()
    for codec in ("utf-16-le", "utf-32-be"):
        assert codec[:6].upper() in errors[f"{codec}-marked.json"]["reason"]
    assert "iconv" in str(errors["latin-1.json"]["hint"])
    for name in ENCODINGS:
        assert errors[name]["line"] or errors[name]["field"], errors[name]


def test_utf_8_with_a_mark_and_every_character_that_is_one_is_taken(fire: Refusals) -> None:
    titles = [
        "\U0001f600 \u65e5\u672c \u0627\u0644",
        "e\u0301",
        "\u202eleft",
        "\u2028",
        "\uffff",
        "\u00a0x",
    ]
    for number, title in enumerate(titles):
        task = {"id": f"title-{number}", "title": title, "command": "true"}
        ascii_only = number % 2 == 0
        text = json.dumps(task, ensure_ascii=ascii_only)
        fire.drop(f"title-{number}.json", b"\xef\xbb\xbf" * (number % 3 == 0) + text.encode())
    fire.drop("marked.yaml", b"\xef\xbb\xbfid: yaml\ncommand: 'true'\n")
    fire.drop("marked.jsonl", b'\xef\xbb\xbf{"id": "line", "command": "true"}\r\n\r\n')
    rows = fire.home.until_ended(*(f"title-{n}" for n in range(len(titles))), "yaml", "line")
    assert [row["title"] for row in rows[: len(titles)]] == titles
    assert {row["status"] for row in rows} == {"completed"}
    assert fire.errors() == {}


def test_every_shape_but_one_object_is_refused_with_its_line_or_field(fire: Refusals) -> None:
    for name, data in SHAPES.items():
        fire.drop_bad(name, data)
    errors = fire.settle()
    for name in SHAPES.keys() - WHOLE_FILE:
        assert errors[name]["line"] or errors[name]["field"], errors[name]
    assert errors["one-bad.jsonl"]["line"] == 2
    assert errors["twice-deep.json"]["field"] == "scope.paths"
    assert len(fire.home.tasks()) == len(fire.good)
