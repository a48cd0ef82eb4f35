"""Credentials reach the workers whose type's file names them, and no other, and no file."""

from __future__ import annotations

from live_home import LiveHome, MakeHome

SAYS = "env | sort > $CORTEX_ARTIFACTS/env.txt"


def test_a_worker_gets_the_credentials_that_its_type_names_and_no_task_can_ask_for_more(
    make_home: MakeHome,
) -> None:
    home = make_home(env={"FORGE_TOKEN": "forge-5ecret", "CLOUD_KEY": "cloud-5ecret"})
    text = "---\nname: push-worker\ncredentials: [FORGE_TOKEN, NOT_SET]\n---\nPush.\n"
    (home.paths.prompts / "push-worker.md").write_text(text)
    home.start()
    steps = [
        {"name": "push", "worker_type": "push", "command": SAYS},
        {"name": "plain", "command": SAYS, "scope": {"credentials": ["CLOUD_KEY"]}},
    ]
    home.drop({"id": "both", "title": "Both", "workers": steps})
    (row,) = home.until_ended("both")
    assert row["status"] == "completed", row
    assert "FORGE_TOKEN=forge-5ecret" in told(home, "push")
    assert "5ecret" not in told(home, "plain")
    home.stop()  # what it replaces or clears away could not be read
    for folder in (home.paths.coordination, home.paths.state, home.paths.worker_specs):
        for path in folder.rglob("*"):
            assert not path.is_file() or b"5ecret" not in path.read_bytes(), path


def told(home: LiveHome, step: str) -> str:
    worker = next(row["worker_id"] for row in home.workers("completed") if row["step"] == step)
    return (home.folder_of(worker) / "artifacts" / "env.txt").read_text()
