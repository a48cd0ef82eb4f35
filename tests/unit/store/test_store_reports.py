"""A task's report folder, which lies in the reach of its workers."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from cortex.store.reports import write_report


@pytest.mark.parametrize("durable", [True, False])
def test_what_a_worker_put_in_the_place_of_a_report_is_neither_waited_for_nor_followed(
    tmp_path: Path, durable: bool
) -> None:
    folder, outside = tmp_path / "task-001", tmp_path / "outside"
    folder.mkdir()
    outside.write_text("mine")
    os.mkfifo(folder / ".a.md.tmp")
    (folder / ".b.md.tmp").symlink_to(outside)
    (folder / "b.md").symlink_to(outside)
    write_report(folder, {"a.md": b"one", "b.md": b"two"}, durable=durable)
    assert (folder / "a.md").read_bytes() == b"one"
    assert (folder / "b.md").read_bytes() == b"two"
    assert outside.read_text() == "mine"
