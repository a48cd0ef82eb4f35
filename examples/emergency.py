"""Prints the task of an emergency for the repositories that it is given: python3 emergency.py
REPOSITORY … | cortex submit -. Each gets an audit that may use 12,000 tokens.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

TOKENS = 12_000
SECONDS = os.environ.get("AUDIT_SECONDS", "5")


def main() -> int:
    """Prints one JSON object; 2 without a repository."""
    repositories = [Path(argument).absolute() for argument in sys.argv[1:]]
    if not repositories:
        print("usage: emergency.py REPOSITORY …", file=sys.stderr)
        return 2
    audit = Path(__file__).with_name("audit.py").absolute()
    command = ["python3", str(audit), "jinja2", "2.10.1", SECONDS]
    task = {
        "id": "emergency",
        "title": "Is jinja2 below 2.10.1 anywhere?",
        "type": "audit",
        "priority": "critical",
        "retries": 0,
        "scope": {"python": "python3", "allow_untested": True},
        "workers": [
            {
                "name": f"audit-{repository.name}",
                "worker_type": "audit",
                "runtime": "command",
                "command": command,
                "token_budget": TOKENS,
                "scope": {"repository": str(repository)},
            }
            for repository in repositories
        ],
    }
    print(json.dumps(task, indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
