"""The program that runs a command once for each item of a batch, as a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest


class Batch:
    """Attempts at one batch, each in a folder of its own."""

    def __init__(self, folder: Path, **spec: Any) -> None:
        self.folder = folder
        self.spec: dict[str, Any] = {"worker_type": "command-worker", "first_item": 0, **spec}
        self.folders: list[Path] = []

    def attempt(self, kill_at: str | None = None) -> dict[str, Any]:
        """Runs it; its results.json, {} if it was killed at an item before it wrote one."""
        number = len(self.folders) + 1
        folder = self.folder / f"worker-cmd-{number:03d}"
        (folder / "artifacts").mkdir(parents=True)
        spec = {**self.spec, "earlier": [str(one) for one in self.folders]}
        self.folders.append(folder)
        (folder / "spec.json").write_text(json.dumps(spec))
        env = {
            **os.environ,
            "CORTEX_SPEC": str(folder / "spec.json"),
            "CORTEX_RESULTS": str(folder / "results.json"),
            "CORTEX_ARTIFACTS": str(folder / "artifacts"),
            "CORTEX_HEARTBEAT": str(folder / "heartbeat.json"),
            "CORTEX_WORKER_ID": folder.name,
            "KILL_AT": kill_at or "",
        }
        done = subprocess.run(
            [sys.executable, "-P", "-m", "cortex.worker.batch"],
            env=env,
            cwd=self.folder,
            capture_output=True,
            text=True,
            timeout=60,
        )
        self.output = done.stdout
        if kill_at is None:
            assert done.returncode == 0, done.stderr
        results = folder / "results.json"
        return json.loads(results.read_text()) if results.exists() else {}

    def ran(self) -> list[str]:
        """Which items the command was run for, over all attempts."""
        path = self.folder / "ran"
        return path.read_text().split() if path.exists() else []


RUN = """
echo "$CORTEX_ITEM" >> ran
if [ "$CORTEX_ITEM" = "$KILL_AT" ]; then kill -9 $PPID; fi
[ ! -e "bad-$CORTEX_ITEM" ]
"""


def test_every_item_is_run_once_in_order_with_an_outcome_of_its_own(tmp_path: Path) -> None:
    batch = Batch(tmp_path, command=RUN, items=["a", "b", "c d"])
    results = batch.attempt()
    assert (results["status"], results["summary"]) == ("completed", "3 items done")
    rows = [(row["number"], row["item"], row["status"]) for row in results["items"]]
    assert rows == [(1, "a", "completed"), (2, "b", "completed"), (3, "c d", "completed")]
    assert batch.ran() == ["a", "b", "c", "d"]
    beat = json.loads((batch.folders[0] / "heartbeat.json").read_text())
    assert beat["message"].endswith("of 3 items done")


def test_a_list_gets_the_item_in_its_words_and_a_line_by_its_environment(tmp_path: Path) -> None:
    odd = "$(touch planted); 'x"
    words = [
        sys.executable,
        "-c",
        "import sys; print(sys.argv[1:])",
        "--file={item}",
        "{item}{item}",
    ]
    batch = Batch(tmp_path, command=words, items=[odd])
    batch.attempt()
    assert str([f"--file={odd}", odd + odd]) in batch.output
    shell = Batch(tmp_path / "shell", command='printf "<%s>" "$CORTEX_ITEM"', items=[odd])
    (tmp_path / "shell").mkdir()
    shell.attempt()
    assert f"<{odd}>" in shell.output
    assert not list(tmp_path.rglob("planted"))


def test_only_what_failed_is_tried_again(tmp_path: Path) -> None:
    batch = Batch(tmp_path, command=RUN, items=["a", "b", "c"])
    (tmp_path / "bad-b").touch()
    results = batch.attempt()
    assert results["status"] == "failed"
    assert results["error"] == "1 of 3 items failed: b (exit 1)"
    assert not results["permanent"]
    (tmp_path / "bad-b").unlink()
    results = batch.attempt()
    assert (results["status"], results["summary"]) == (
        "completed",
        "3 items done, 2 of them before",
    )
    assert [row["worker_id"] for row in results["items"]] == [
        "worker-cmd-001", "worker-cmd-002", "worker-cmd-001",
    ]  # fmt: skip
    assert batch.ran() == ["a", "b", "c", "b"]


def test_a_crash_in_the_middle_neither_loses_nor_repeats_what_was_done(tmp_path: Path) -> None:
    batch = Batch(tmp_path, command=RUN, items=list("abcde"))
    assert batch.attempt(kill_at="c") == {}
    results = batch.attempt()
    assert results["status"] == "completed"
    assert batch.ran() == ["a", "b", "c", "d", "e", "c"], "what it was at comes last"
    batch.attempt()
    assert len(batch.ran()) == 6, "a third attempt finds nothing to do"


def test_an_item_that_ends_its_worker_each_time_does_not_keep_the_others_from_running(
    tmp_path: Path,
) -> None:
    batch = Batch(tmp_path, command=RUN, items=list("abc"))
    batch.attempt(kill_at="a")
    batch.attempt(kill_at="a")
    assert batch.ran() == ["a", "b", "c", "a"]


def test_a_torn_line_of_an_earlier_attempt_counts_for_nothing(tmp_path: Path) -> None:
    batch = Batch(tmp_path, command=RUN, items=["a", "b"])
    batch.attempt()
    journal = batch.folders[0] / "artifacts" / "items.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])
    assert batch.attempt()["status"] == "completed"
    assert batch.ran() == ["a", "b", "b"]


def test_what_an_item_says_itself_counts_as_for_any_worker(tmp_path: Path) -> None:
    body = {"status": "completed", "findings": [{"rule": "R"}], "tokens_used": 7, "summary": "ok"}
    write = f"printf '%s' '{json.dumps(body)}' > \"$CORTEX_RESULTS\""
    batch = Batch(tmp_path, command=write, items=["a", "b"])
    results = batch.attempt()
    assert results["findings"] == [{"rule": "R"}, {"rule": "R"}]
    assert results["tokens_used"] == 14
    assert [row["summary"] for row in results["items"]] == ["ok", "ok"]
    bad = Batch(tmp_path / "bad", command=write.replace("completed", "failed"), items=["a"])
    (tmp_path / "bad").mkdir()
    assert bad.attempt()["error"] == "1 of 1 items failed: a (ok)"


def test_each_item_has_a_folder_for_what_it_makes(tmp_path: Path) -> None:
    batch = Batch(tmp_path, command='echo hi; echo "$CORTEX_ITEM" > "$CORTEX_ARTIFACTS/made"',
                  items=["a", "b"], first_item=20)  # fmt: skip
    batch.attempt()
    folder = batch.folders[0] / "artifacts" / "items"
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert sorted(map(str, files)) == [
        "0021/made", "0021/output.txt", "0022/made", "0022/output.txt",
    ]  # fmt: skip
    assert (folder / "0022" / "output.txt").read_text() == "hi\n"


def test_a_program_that_is_not_there_is_not_tried_again(tmp_path: Path) -> None:
    results = Batch(tmp_path, command=["/no/such/program", "{item}"], items=["a", "b"]).attempt()
    assert results["permanent"]
    assert "2 of 2 items failed: a (cannot be started" in results["error"]


@pytest.mark.parametrize("command", ["exit 3", "kill -9 $$"])
def test_the_way_in_which_an_item_failed_is_told(tmp_path: Path, command: str) -> None:
    (row,) = Batch(tmp_path, command=command, items=["a"]).attempt()["items"]
    assert row["error"] == ("exit 3" if "exit" in command else "signal 9")


@pytest.mark.parametrize("to", ["", ">/dev/null 2>&1"])
def test_an_item_that_leaves_something_running_holds_up_no_other(tmp_path: Path, to: str) -> None:
    command = f"sleep 50 {to} & echo $! >> left; echo did $CORTEX_ITEM"
    batch = Batch(tmp_path, command=command, items=["a", "b"])
    started_s = time.monotonic()
    assert batch.attempt()["summary"] == "2 items done"
    assert time.monotonic() - started_s < 20
    assert "did a\n" in batch.output
    assert "did b\n" in batch.output
    left = [Path(f"/proc/{pid}/stat") for pid in (tmp_path / "left").read_text().split()]
    end_s = time.monotonic() + 10
    while (alive := [path for path in left if _lives(path)]) and time.monotonic() < end_s:
        time.sleep(0.01)
    assert not alive, "what an item left is ended with it"


def _lives(stat: Path) -> bool:
    try:
        return stat.read_text().rpartition(")")[2].split()[0] not in "ZX"
    except OSError:
        return False


def test_all_that_an_item_printed_before_its_end_is_kept(tmp_path: Path) -> None:
    batch = Batch(tmp_path, command="head -c 3000000 /dev/zero | tr '\\0' x", items=["a"])
    batch.attempt()
    kept = batch.folders[0] / "artifacts" / "items" / "0001" / "output.txt"
    assert kept.stat().st_size == 3_000_000


def test_what_an_item_prints_without_end_does_not_fill_the_disk(tmp_path: Path) -> None:
    batch = Batch(tmp_path, command="head -c 40000000 /dev/zero", items=["a"])
    batch.attempt()
    (kept,) = batch.folders[0].rglob("output.txt")
    assert kept.stat().st_size < 20_000_000
    assert kept.read_bytes().endswith(b"left out ...\n")


@pytest.mark.parametrize(
    ("line", "word"),
    [
        ('echo "{" > "$CORTEX_RESULTS"', "no JSON"),
        ('echo "[]" > "$CORTEX_RESULTS"', "no object"),
        ('head -c 1100000 /dev/zero > "$CORTEX_RESULTS"', "plain file"),
        ('ln -s /etc/passwd "$CORTEX_RESULTS"', "plain file"),
        ('mkfifo "$CORTEX_RESULTS"', "plain file"),
        ('mkdir "$CORTEX_RESULTS"', "plain file"),
    ],
)
def test_an_item_whose_results_cannot_be_read_has_failed(
    tmp_path: Path, line: str, word: str
) -> None:
    results = Batch(tmp_path, command=line, items=["a"]).attempt()
    assert results["status"] == "failed", results
    assert "results.json" in results["error"] and word in results["error"]
