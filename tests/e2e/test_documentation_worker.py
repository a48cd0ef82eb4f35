"""The documentation worker: what is public, what has no words, which links lead nowhere."""

from __future__ import annotations

import json
from collections.abc import Callable

from tool_worker import Answer, Repository, is_not_run, repository, run

__all__ = ["repository", "run"]

Run = Callable[..., Answer]

PACKAGE = '''"""A shop."""

raise SystemExit("importing this would end the worker")


class Basket(list):
    """What somebody buys."""

    def total(self, vat: float = 0.2, *, round_to: int = 2) -> float:
        return 0.0

    def _secret(self):
        pass


async def order(*items, **options):
    """Buys."""


def undocumented(a, /, b):
    return a


def _private():
    pass
'''
GUIDE = """# Guide

See [the start](#guide), [the shop](../src/shop/__init__.py#L3), [use](../README.md#how-to-use-it).
A [dead one](nowhere.md), a [wrong heading](../README.md#no-such-place) and [out](../../etc/passwd).
Again: [second](#again-1), [third](#again-2), [elsewhere](https://example.org), `[code](gone.md)`.

```
[in a block](gone.md)
```

## Again

## Again

[ref]: missing%20file.md
"""


def test_public_names_missing_words_and_broken_links_are_found_without_importing(
    run: Run, repository: Repository
) -> None:
    repository.commit(
        {
            "README.md": "# Shop\n\n## How to *use* it?\n\nBuy.\n",
            "src/shop/__init__.py": PACKAGE,
            "src/shop/_internal.py": "def hidden():\n    pass\n",
            "docs/guide.md": GUIDE,
        }
    )
    before = repository.state()
    answer = run("documentation-worker", repository.root)
    results = answer.results
    assert results["status"] == "completed"
    missing = {(row["title"], row["line"]) for row in answer.found(rule="no-docstring")}
    assert missing == {
        ("Method shop.Basket.total has no docstring", 9),
        ("Function shop.undocumented has no docstring", 20),
    }
    links = {
        (row["line"], row["title"].split(": ", 1)[0]) for row in answer.found(rule="broken-link")
    }
    assert links == {
        (4, "Link to nowhere.md"),
        (4, "Link to ../README.md#no-such-place"),
        (4, "Link to ../../etc/passwd"),
        (5, "Link to #again-2"),
        (15, "Link to missing%20file.md"),
    }
    (module,) = json.loads(answer.artifact("api_inventory.json"))["modules"]
    signatures = [name["signature"] for name in module["names"]]
    assert "def total(self, vat: float=0.2, *, round_to: int=2) -> float" in signatures
    assert "async def order(*items, **options)" in signatures
    assert results["documentation"]["links_elsewhere"] == 1
    assert results["summary"].startswith("repository: 3 of 5 public names have a docstring (60 %)")
    assert repository.state() == before


def test_a_missing_readme_and_a_file_that_does_not_parse_are_findings(
    run: Run, repository: Repository
) -> None:
    repository.commit({"shop.py": '"""Fine."""\n', "broken.py": "def broken(:\n"})
    answer = run("documentation-worker", repository.root)
    assert answer.found(rule="no-readme")
    assert [row["file"] for row in answer.found(rule="unreadable")] == ["broken.py"]


def test_a_folder_without_git_will_do_and_one_with_nothing_to_read_is_not_run(
    run: Run, repository: Repository
) -> None:
    repository.write({"README.md": "# A shop, and all about it\n"})
    answer = run("documentation-worker", repository.root)
    assert answer.results["status"] == "completed"
    assert answer.results["findings"] == []
    (repository.root / "README.md").unlink()
    is_not_run(run("documentation-worker", repository.root), "Python or Markdown")


def test_a_named_commit_is_read_from_a_clone(run: Run, repository: Repository) -> None:
    first = repository.commit({"README.md": "[dead](nowhere.md) and more words\n"})
    repository.commit({"README.md": "Mended, with more words than before.\n"})
    assert not run("documentation-worker", repository.root).results["findings"]
    old = run("documentation-worker", f"file://{repository.root}", ref=first)
    assert [row["rule"] for row in old.results["findings"]] == ["broken-link"]
    assert old.results["findings"][0]["repository"] == f"file://{repository.root}"
