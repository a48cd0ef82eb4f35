"""Makes small git repositories to try the workflows of docs/workflows.md on:
python3 repositories.py FOLDER [NUMBER]. Each is a service with a test, a dependency that has a
known advisory, and a shell command put together from text. Needs git and nothing else.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

NAMES = ("shop", "blog", "api", "mail", "stock", "auth", "files", "chat", "maps", "news")

FILES = {
    "requirements.txt": "jinja2==2.10\nclick==8.1.7\n",
    "prices.py": """RATE = 0.2


def total(prices):
    return sum(prices)


def with_tax(prices):
    return total(prices) * (1 + RATE)
""",
    "backup.py": """import subprocess


def backup(folder):
    return subprocess.call("tar -cf backup.tar " + folder, shell=True)
""",
    "test_prices.py": """import unittest

import prices


class Prices(unittest.TestCase):
    def test_total(self):
        self.assertEqual(prices.total([1, 2]), 3)

    def test_tax(self):
        self.assertAlmostEqual(prices.with_tax([10]), 12)
""",
}


def main() -> int:
    """Makes them and prints their paths; 2 where the arguments are wrong, 1 where one is there."""
    try:
        folder = Path(sys.argv[1]).absolute()
        number = int(sys.argv[2]) if len(sys.argv) > 2 else 3
        names = NAMES[:number] if 1 <= number <= len(NAMES) else ()
    except (IndexError, ValueError):
        names = ()
    if not names:
        print(f"usage: repositories.py FOLDER [NUMBER from 1 to {len(NAMES)}]", file=sys.stderr)
        return 2
    for name in names:
        if (folder / name).exists():
            print(f"{folder / name} is there already; name another folder", file=sys.stderr)
            return 1
        make(folder / name)
        print(folder / name)
    return 0


def make(root: Path) -> None:
    """One repository with one commit."""
    root.mkdir(parents=True)
    for name, text in {"README.md": f"# {root.name}\n", **FILES}.items():
        (root / name).write_text(text, encoding="utf-8")
    git = ["git", "-C", str(root), "-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "A service"]):
        subprocess.run([*git, *words], check=True)


if __name__ == "__main__":
    sys.exit(main())
