"""The record of an end outlives whatever the disk refuses meanwhile."""

from __future__ import annotations

import json
import threading
from pathlib import Path

from cortex.runtime.shim_record import write_exit_record


def test_a_folder_that_cannot_be_made_yet_is_waited_for(tmp_path: Path) -> None:
    """As on a full disk; here a dangling link lies in its place."""
    folder, target = tmp_path / "attempt", tmp_path / "target"
    folder.symlink_to(target)
    written: list[bool] = []
    shim = threading.Thread(
        target=lambda: written.append(write_exit_record(str(folder), {"code": 7}))
    )
    shim.start()
    shim.join(0.2)  # by now it has met the missing folder
    target.mkdir()
    shim.join(30)
    assert written == [True]
    assert json.loads((target / "exit.json").read_bytes()) == {"code": 7}
