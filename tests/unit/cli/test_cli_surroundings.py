"""The command in odd surroundings: terminals of another encoding, full disks, closed outputs, files
and arguments of strangers.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cortex.home import Home

LIMIT_S = 60


def called(
    root: Path, *arguments: str | bytes, shell: str = "", **env: str
) -> subprocess.CompletedProcess[bytes]:
    """`cortex` as a process of its own; `shell` is what stands behind it on its line."""
    argv = ["/bin/sh", "-c", f'exec "$@" {shell}', "sh", sys.executable, "-m", "cortex.cli.main"]
    return subprocess.run(
        [*argv, *arguments],
        env={**os.environ, "CORTEX_HOME": str(root), **env},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        timeout=LIMIT_S,
    )


@pytest.fixture
def titled(sample: Any) -> Any:
    """A home with a task whose title no Latin alphabet can write."""
    sample.state.tasks["task-001"].title = "Prüfe … 日本"
    sample.publish()
    return sample


@pytest.mark.parametrize("words", ["get tasks", "why task-001", "report task-001", "top --once"])
def test_a_terminal_that_knows_no_such_letter_gets_its_number(titled: Any, words: str) -> None:
    ran = called(titled.root, *words.split(), PYTHONUTF8="0", PYTHONIOENCODING="latin-1")
    assert ran.returncode == 0, ran.stderr.decode()
    assert b"Traceback" not in ran.stderr
    if words != "top --once":
        assert b"Pr\xfcfe \\u2026 \\u65e5\\u672c" in ran.stdout


def test_an_output_that_cannot_be_written_is_one_sentence(sample: Any) -> None:
    ran = called(sample.root, "get", "tasks", shell="> /dev/full")
    assert ran.returncode == 1
    *_, last = ran.stderr.decode().splitlines()
    assert last == "cortex: the output cannot be written: No space left on device"
    assert "Traceback" not in ran.stderr.decode()


@pytest.mark.parametrize("shell", [">&-", "2>&-", "<&- >&- 2>&-"])
def test_a_closed_output_is_one_that_nobody_reads(sample: Any, shell: str) -> None:
    ran = called(sample.root, "get", "tasks", shell=shell)
    assert (ran.returncode, b"Traceback" in ran.stderr) == (0, False), ran.stderr.decode()


@pytest.mark.parametrize("verb", ["why", "describe", "logs", "wait", "report", "fetch", "events"])
def test_an_id_of_no_encoding_is_an_id_that_nothing_has(sample: Any, verb: str) -> None:
    ran = called(sample.root, verb, b"task-\xff")
    assert ran.returncode == 1, ran.stderr.decode()
    assert b"Traceback" not in ran.stderr
    assert all(line.startswith(b"cortex: ") for line in ran.stderr.splitlines())


@pytest.mark.parametrize("place", [".", "/", ".."])
def test_a_report_is_not_written_over_a_folder(sample: Any, place: str) -> None:
    ran = called(sample.root, "report", "task-001", "--file", place)
    assert (ran.returncode, b"cannot be written" in ran.stderr) == (1, True), ran.stderr.decode()
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize("editor", ["vi 'x", "rm"])
def test_an_editor_that_cannot_be_one_is_said_and_leaves_the_text(
    sample: Any, tmp_path: Path, editor: str
) -> None:
    ran = called(sample.root, "edit", "task-001", VISUAL=editor, TMPDIR=str(tmp_path))
    assert (ran.returncode, b"Traceback" in ran.stderr) == (1, False), ran.stderr.decode()
    assert ran.stderr.startswith(b"cortex: ")


@pytest.mark.parametrize("name", ["latin", "nosuch", "security"])
def test_a_definition_of_another_encoding_hinders_no_other(sample: Any, name: str) -> None:
    sample.paths.masters.mkdir(parents=True, exist_ok=True)
    (sample.paths.masters / "latin.md").write_bytes(b"---\nname: caf\xe9\n---\n")
    good = "---\nname: security-master\nroutes: [scan]\n---\nGood.\n"
    (sample.paths.masters / "other.md").write_text(good)
    ran = called(sample.root, "describe", "master", name)
    assert b"Traceback" not in ran.stderr, ran.stderr.decode()
    assert ran.returncode == (0 if name == "security" else 1)
    if name == "latin":
        assert b"latin.md" in ran.stderr and b"UTF-8" in ran.stderr


def test_lists_name_the_file_that_is_of_another_encoding(sample: Any) -> None:
    sample.paths.masters.mkdir(parents=True, exist_ok=True)
    (sample.paths.masters / "latin.md").write_bytes(b"---\nname: caf\xe9\n---\n")
    ran = called(sample.root, "get", "masters")
    assert b"latin" in ran.stdout + ran.stderr


@pytest.mark.parametrize("kind", ["fifo", "link", "folder"])
def test_a_log_that_is_no_file_any_more_is_neither_waited_for_nor_followed(
    sample: Any, tmp_path: Path, kind: str
) -> None:
    secret = tmp_path / "secret"
    secret.write_text("the words of somebody else\n")
    worker = next(row for row in Home(sample.root).workers() if row.get("result_location"))
    folder = sample.root / worker["result_location"]
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "log.md").unlink(missing_ok=True)
    if kind == "fifo":
        os.mkfifo(folder / "log.md")
    elif kind == "link":
        (folder / "log.md").symlink_to(secret)
    else:
        (folder / "log.md").mkdir()
    ran = called(sample.root, "logs", worker["worker_id"])
    assert b"somebody else" not in ran.stdout
    assert b"Traceback" not in ran.stderr


@pytest.mark.parametrize(
    "words",
    ["--home ~nobody-is-called-so get tasks", "submit --command true -r ~nobody-is-called-so/shop"],
)
def test_the_folder_of_a_user_whom_nobody_knows_is_one_that_is_not_there(
    sample: Any, words: str
) -> None:
    ran = called(sample.root, *words.split())
    assert b"Traceback" not in ran.stderr, ran.stderr.decode()
    assert b"~nobody-is-called-so" in ran.stderr


@pytest.mark.parametrize("odd", ["five", "5000", [1]])
@pytest.mark.parametrize("words", ["budget", "status"])
def test_a_number_that_somebody_wrote_over_is_named_with_its_file(
    sample: Any, words: str, odd: object
) -> None:
    path = sample.root / "coordination" / "token-budget.json"
    document = json.loads(path.read_bytes())
    document["worker_pool"]["total"] = odd
    path.write_text(json.dumps(document, indent=1))
    ran = called(sample.root, *words.split())
    said = ran.stderr.decode().splitlines()[-1]
    assert (ran.returncode, "Traceback" in ran.stderr.decode()) == (1, False), said
    assert said.startswith(f"cortex: {path}:") and "worker_pool.total" in said
    assert "edited by hand" in said
