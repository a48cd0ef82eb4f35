"""submit, verbs, wait, validate, completion: what a command asks for and how it ends."""

import json
from pathlib import Path
from typing import Any

import pytest

from cortex.cli.main import COMMANDS


def dropped(sample: Any) -> list[Any]:
    return [json.loads(path.read_bytes()) for path in sorted(sample.paths.inbox.glob("[!.]*"))]


def test_options_become_a_task_file_in_the_inbox(cortex: Any, sample: Any, tmp_path: Path) -> None:
    ran = cortex(
        "submit", "--type", "security-scan", "--repository", str(tmp_path), "--priority", "high",
        "--id", "mine", "--need", "task-001", "--timeout", "5m", "--key", "nightly",
    )  # fmt: skip
    assert ran.code == 0
    assert dropped(sample) == [
        {
            "id": "mine",
            "type": "security-scan",
            "priority": "high",
            "scope": {"repository": str(tmp_path)},
            "key": "nightly",
            "needs": ["task-001"],
            "timeout": "5m",
        }
    ]
    assert ran.out.strip() == next(sample.paths.inbox.glob("[!.]*")).name
    assert "no daemon runs" in ran.err


def test_files_and_stdin_are_dropped_as_they_are(cortex: Any, sample: Any, tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("title: from yaml\n")
    assert cortex("submit", str(tmp_path / "a.yaml")).code == 0
    for text in ('{"title":\n "from stdin"}', '{"title": "a"}\n{"title": "b"}\n', "title: c\n"):
        assert cortex("submit", "-", stdin=text).code == 0
    names = sorted(path.name for path in sample.paths.inbox.glob("[!.]*"))
    assert names[0].startswith("a-")
    suffixes = sorted(Path(name).suffix for name in names)
    assert suffixes == [".json", ".jsonl", ".yaml", ".yaml"]
    assert (sample.paths.inbox / names[0]).read_text() == "title: from yaml\n"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((), "nothing to submit"),
        (("--title", "x", "--priority", "urgent"), "--priority"),
        (("--title", "x", "--timeout", "soon"), "--timeout"),
        (("--title", "x", "--id", "../x"), "--id"),
        (("task.json", "--title", "x"), "exclude"),
        (("--title", "x", "--token-budget", "-1"), "token-budget"),
        (("--title", "x", "-o", "yaml"), "does not print yaml"),
    ],
)
def test_wrong_options_are_usage_errors_and_drop_nothing(
    cortex: Any, sample: Any, arguments: tuple[str, ...], said: str
) -> None:
    ran = cortex("submit", *arguments)
    assert ran.code == 2
    assert said in ran.err
    assert dropped(sample) == []


def test_a_file_that_is_not_there_or_empty_is_said(cortex: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.json").write_text("\n")
    for name in ("missing.json", "empty.json"):
        ran = cortex("submit", str(tmp_path / name))
        assert ran.code == 1
        assert name in ran.err


@pytest.mark.parametrize("command", ["submit", "validate"])
def test_an_unknown_field_is_kept_and_warned_of(cortex: Any, tmp_path: Path, command: str) -> None:
    (tmp_path / "t.json").write_text('{"title": "x", "pririty": "high"}')
    ran = cortex(command, str(tmp_path / "t.json"))
    assert ran.code == 0
    said = "pririty: no such key, kept as it is; did you mean priority?"
    assert (ran.out if command == "validate" else ran.err).count(said) == 1


def test_following_a_submission_needs_a_daemon(cortex: Any, sample: Any) -> None:
    assert cortex("submit", "--title", "x", "--follow").code == 4
    assert dropped(sample) == []


@pytest.mark.parametrize(
    ("arguments", "payload"),
    [
        (("cancel", "task-001", "--cascade"), {"kind": "cancel", "task_id": "task-001"}),
        (("retry", "tests-nightly", "-m", "again"), {"kind": "retry", "reason": "again"}),
        (("pause",), {"kind": "pause"}),
        (("resume", "task-001"), {"kind": "resume", "task_id": "task-001"}),
        (("handoff", "accept", "handoff-001"), {"kind": "handoff", "status": "accepted"}),
        (("budget", "--set-total", "260000"), {"kind": "budget", "total_budget": 260000}),
    ],
)
def test_each_verb_is_a_drop(
    cortex: Any, sample: Any, arguments: tuple[str, ...], payload: dict[str, Any]
) -> None:
    from cortex.model.requests import parse_request

    ran = cortex(*arguments)
    assert ran.code == 0, ran.err
    (found,) = dropped(sample)
    assert found.items() >= payload.items()
    parse_request(found)
    assert "the next one takes it up" in ran.err


def test_a_verb_on_an_unknown_task_drops_nothing(cortex: Any, sample: Any) -> None:
    ran = cortex("cancel", "task-404")
    assert ran.code == 1
    assert "task-404" in ran.err
    assert dropped(sample) == []


def test_wait_says_by_its_exit_code_how_it_ended(cortex: Any, sample: Any, run_daemon: Any) -> None:
    assert cortex("wait", "tests-nightly").code == 0
    assert cortex("wait", "tests-nightly", "--for", "completed").code == 1
    assert cortex("wait", "task-001").code == 4
    run_daemon(sample.root)
    assert cortex("wait", "task-001", "--timeout", "0.2s").code == 3
    assert cortex("wait", "task-001", "--timeout", "never").code == 2


@pytest.mark.parametrize(
    ("ident", "status", "allowed"),
    [
        ("task-001", "banana", "completed"),
        ("task-001", "running", "in_progress"),
        ("worker-scan-002", "in_progress", "running"),
    ],
)
def test_waiting_for_a_status_that_cannot_come_is_a_usage_error(
    cortex: Any, sample: Any, run_daemon: Any, ident: str, status: str, allowed: str
) -> None:
    run_daemon(sample.root)
    ran = cortex("wait", ident, "--for", status)
    assert ran.code == 2
    assert repr(status) in ran.err
    assert f" {allowed}," in ran.err


def test_validate_finds_nothing_wrong_with_the_sample(cortex: Any) -> None:
    ran = cortex("validate")
    assert ran.code == 0, ran.out
    assert "nothing wrong" in ran.out


@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("task.json", '{\n "title": "x",\n "timeot": 1\n}', "task.json"),
        ("t.json", '{\n "workers": [\n  {"name": "a", "needs": ["b"]}\n ]}', "t.json"),
        ("t.json", '{"title": "x",}', "t.json:1: "),
        ("t.yaml", "title: x\npriority: urgent\n", "t.yaml:2: priority"),
        ("cortex.toml", "[budget]\ntotal = -1\n", "cortex.toml:2: budget.total"),
        ("m.md", "---\nname: m\nroutes: [a]\nfoo: 1\n---\n", "m.md:4: foo"),
        ("w.md", "---\nname: w\ntimeout: soon\n---\n", "w.md:3: timeout"),
        ("results.json", '{"status": "done"}', "results.json:1: status"),
        ("missing.json", None, "cannot be read"),
    ],
)
def test_validate_names_file_line_and_field(
    cortex: Any, tmp_path: Path, name: str, text: str | None, said: str
) -> None:
    if text is not None:
        (tmp_path / name).write_text(text)
    ran = cortex("validate", str(tmp_path / name))
    if "timeot" in (text or ""):  # unknown keys of a task are kept, not refused
        assert ran.code == 0
        return
    assert ran.code == 1
    assert said in ran.out


def test_validate_sees_a_damaged_document_of_the_home(cortex: Any, sample: Any) -> None:
    path = sample.paths.task_queue
    path.write_text(path.read_text().replace('"in_progress"', '"doing"'))
    ran = cortex("validate")
    assert ran.code == 1
    assert "tasks.0.status" in ran.out


def test_validate_sees_names_that_no_file_defines(cortex: Any, sample: Any) -> None:
    (sample.paths.masters / "content-master.md").write_text(
        "---\nname: content\nroutes: [article]\nspawns: [writing]\n---\nWrite.\n"
    )
    ran = cortex("validate")
    assert ran.code == 1
    assert "no worker type 'writing-worker' here" in ran.out


@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_has_help_with_examples(cortex: Any, name: str) -> None:
    ran = cortex(name, "--help")
    assert ran.code == 0
    assert "Examples:" in ran.out
    assert f"cortex {name}" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 80


def test_the_overview_lists_every_command(cortex: Any) -> None:
    out = cortex("--help").out
    for name, command in COMMANDS.items():
        assert f"  {name} " in out
        assert command.summary in out


def test_a_wrong_command_is_a_usage_error_with_a_suggestion(cortex: Any) -> None:
    ran = cortex("sumbit")
    assert ran.code == 2
    assert "submit" in ran.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_prints_a_script(cortex: Any, shell: str) -> None:
    assert "_CORTEX_COMPLETE" in cortex("completion", shell).out


def test_a_home_that_is_none_is_said_in_one_sentence(cortex: Any, tmp_path: Path) -> None:
    ran = cortex("--home", str(tmp_path / "nowhere"), "get", "tasks")
    assert ran.code == 1
    assert "cortex init" in ran.err
    assert "Traceback" not in ran.err


def test_init_says_what_it_kept(cortex: Any, tmp_path: Path) -> None:
    cortex("init", str(tmp_path / "new"))
    mine = tmp_path / "new/agents/masters/security-master.md"
    mine.write_text("mine\n")
    ran = cortex("init", str(tmp_path / "new"))
    assert "kept      agents/masters/security-master.md (yours)" in ran.out


def test_local_folders_are_handed_in_by_their_full_path_and_missing_ones_are_told(
    cortex: Any, sample: Any, tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "here").mkdir()
    url = "https://forge.example/shop.git"
    ran = cortex(
        "submit", "-c", "make", "-r", "here", "-r", "../shop", "-r", url, "-r", "git@forge:shop",
        "--approval",
    )  # fmt: skip
    assert ran.code == 0
    (payload,) = dropped(sample)
    missing = str(tmp_path.parent / "shop")
    scope = [str(tmp_path / "here"), missing, url, "git@forge:shop"]
    assert payload["scope"]["repositories"] == scope
    assert payload["approval"] is True
    assert f"there is no folder {missing}" in ran.err
    assert "here;" not in ran.err


def test_what_is_perhaps_a_slip_of_the_pen_is_a_warning_and_not_nothing(
    cortex: Any, tmp_path: Path
) -> None:
    path = tmp_path / "task.json"
    scope = '{"repository": "/a", "workspce": "clone", "report": 1, "pause": 2, "replace": 3}'
    path.write_text('{\n"title": "x",\n"scope":\n' + scope + ',\n"piority": "high"}')
    ran = cortex("validate", str(path))
    assert ran.code == 0
    assert (
        f"{path}:4: scope.workspce: no such key, kept as it is; did you mean workspace?" in ran.out
    )
    assert f"{path}:5: piority: no such key, kept as it is; did you mean" in ran.out
    assert not any(own in ran.out for own in ("scope.report", "scope.pause", "scope.replace"))
    assert "nothing wrong" not in ran.out
    assert "1 file looked at, 2 warnings" in ran.out


def test_describe_shows_the_fields_of_a_drop_that_mean_nothing(cortex: Any, sample: Any) -> None:
    assert "mean nothing" not in cortex("describe", "task-001").out
    sample.state.tasks["task-001"].extra = {"piority": "high"}
    sample.publish()
    out = cortex("describe", "task-001").out
    assert "Fields that mean nothing here" in out
    assert "piority" in out
