"""A disk that is really full: a small tmpfs, a balloon in it, and a daemon that waits it out."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from live_home import LiveHome
from namespaces import mount_namespace, scenario_program

SIZE = "12m"
#: Mounts the tmpfs in a namespace of its own, and runs the scenario of this file there.
IN_NAMESPACE = 'mount -t tmpfs -o size="$1" tmpfs "$2" && cd / && exec "$3" -c "$4"'
KB = 1024


class Balloon:
    """A file that takes all the space that there is."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def fill(self) -> None:
        with self._path.open("ab", buffering=0) as file:
            for size in (256 * KB, 4 * KB):
                try:
                    while True:
                        file.write(b"\1" * size)
                except OSError:
                    continue

    def burst(self) -> None:
        self._path.unlink()


def scenario(folder: Path) -> None:
    """Workers run, the disk fills, everything waits and says so, and goes on by itself."""
    home = LiveHome(folder / "home", "[limits]\ntools = 4\n[workers]\nbackoff = 0.1\n")
    balloon = Balloon(folder / "balloon")
    try:
        home.start()
        gate = Path("/dev/shm") / f"gate-{os.getpid()}"
        home.run("long", f"until test -e {gate}; do sleep 0.02; done", token_budget=500)
        home.until_running("long")
        home.drop({"kind": "pause"}, "pause.json")
        idents = [home.run(f"t{n}", "true") for n in range(40)]
        home.until(lambda: len(home.workers("queued")) == 40, "forty wait")
        (home.paths.inbox / ".resume.tmp").write_text('{"kind": "resume"}')

        balloon.fill()
        (home.paths.inbox / ".resume.tmp").rename(home.paths.inbox / "resume.json")
        home.until(lambda: "space" in str(said(home).get("cause")), "it says why it is degraded")
        gate.touch()
        home.until(lambda: ended(home, "long"), "an end is still recorded, from the ballast")
        started = len(home.events("worker_spawning"))
        assert said(home)["status"] == "degraded"
        assert started < 41

        balloon.burst()
        home.until(lambda: said(home).get("status") == "running", "it goes on by itself")
        rows = home.until_ended(*idents, "long")
        assert {row["status"] for row in rows} == {"completed"}
        home.assert_started_once()
        home.assert_books()
        home.assert_replay_is_published()
        assert (home.paths.state / "ballast").exists()
        home.stop()
    finally:
        gate.unlink(missing_ok=True)
        home.close()


def said(home: LiveHome) -> dict[str, object]:
    about: dict[str, object] = home.read("task-queue")["daemon"]
    return about


def ended(home: LiveHome, ident: str) -> bool:
    return bool(home.events("tokens_settled")) and any(
        row["task_id"] == ident for row in home.workers("completed")
    )


def test_a_full_disk_is_said_waited_out_and_costs_nothing(tmp_path: Path) -> None:
    command = mount_namespace()
    code = scenario_program(__file__, "scenario", tmp_path)
    ran = subprocess.run(
        [*command, "sh", "-c", IN_NAMESPACE, "sh", SIZE, str(tmp_path), sys.executable, code],
        capture_output=True,
        text=True,
        timeout=100,
    )
    assert ran.returncode == 0, ran.stderr[-6000:]
