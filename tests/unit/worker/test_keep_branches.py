"""The program that takes finished workers' branches into mirrors: one answer for each worker."""

from __future__ import annotations

from pathlib import Path

from cortex.worker.tools.keep_branches import keep


def test_a_repository_that_cannot_be_looked_at_is_the_answer_of_its_worker_alone(
    tmp_path: Path,
) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    workers = {
        ident: {"repository": str(tmp_path / name), "artifacts": "/", "branches": []}
        for ident, name in (("w1", "loop"), ("w2", "gone"))
    }
    order = {"mirrors": str(tmp_path / "mirrors"), "limit_s": 30.0, "workers": workers}
    answers = keep(order, tmp_path / "home")
    assert "loop" in answers["w1"]["again"]
    assert "gone" in answers["w2"]["again"]


def test_those_for_whom_no_time_is_left_have_no_answer(tmp_path: Path) -> None:
    workers = {"w1": {"repository": str(tmp_path), "artifacts": "/", "branches": []}}
    order = {"mirrors": str(tmp_path / "mirrors"), "limit_s": -1.0, "workers": workers}
    assert keep(order, tmp_path / "home") == {}
