"""The fakes keep the seams' promises, and nothing beyond them."""

import errno
from pathlib import Path
from typing import Any

import pytest

from cortex.runtime.executor import Claimed, Exited, Launch
from cortex.store.disk import RealDisk
from cortex.testing import (
    Behaviour,
    Crash,
    FakeClock,
    FakeDisk,
    FakeExecutor,
    FakeMachine,
    Fault,
    ScheduledEffects,
)


def written(disk: FakeDisk, path: str, data: bytes) -> int:
    handle = disk.create(path)
    assert disk.write(handle, data) == len(data)
    return handle


def outcomes_of_a_power_cut(prepare: Any, path: str) -> set[bytes | None]:
    """What may lie at the path after a power cut, over many seeds."""
    seen = set()
    for seed in range(40):
        disk = FakeDisk(seed=seed)
        disk.mkdir("/d")
        prepare(disk)
        disk.cut_power()
        seen.add(disk.content(path))
    return seen


def test_what_was_not_synced_may_be_lost_kept_or_torn() -> None:
    def prepare(disk: FakeDisk) -> None:
        written(disk, "/d/f", b"0123456789")
        disk.fsync_dir("/d")

    seen = outcomes_of_a_power_cut(prepare, "/d/f")
    assert {b"", b"0123456789"} < seen
    assert all(data is not None and b"0123456789".startswith(data) for data in seen)


def test_a_synced_file_without_a_synced_name_may_be_gone_but_is_never_torn() -> None:
    def prepare(disk: FakeDisk) -> None:
        disk.fdatasync(written(disk, "/d/f", b"0123456789"))

    assert outcomes_of_a_power_cut(prepare, "/d/f") == {None, b"0123456789"}


def test_what_was_synced_with_its_name_survives() -> None:
    def prepare(disk: FakeDisk) -> None:
        disk.fdatasync(written(disk, "/d/f", b"data"))
        disk.fsync_dir("/d")

    assert outcomes_of_a_power_cut(prepare, "/d/f") == {b"data"}


def test_a_rename_is_durable_in_both_folders_or_in_none() -> None:
    seen = set()
    for seed in range(40):
        disk = FakeDisk(seed=seed)
        for folder in ("/a", "/b"):
            disk.mkdir(folder)
        disk.put("/a/f", b"data")
        disk.rename("/a/f", "/b/f")
        disk.cut_power()
        seen.add((disk.content("/a/f"), disk.content("/b/f")))
    assert seen == {(b"data", None), (None, b"data")}


def test_after_a_failed_sync_the_cache_shows_what_the_disk_never_got() -> None:
    disk = FakeDisk()
    disk.mkdir("/d")
    handle = written(disk, "/d/f", b"first")
    disk.fsync_dir("/d")
    disk.arm(Fault(1, errno.EIO, calls=frozenset({"fdatasync"})))
    with pytest.raises(OSError, match="Input/output error"):
        disk.fdatasync(handle)
    disk.fdatasync(handle)
    assert disk.content("/d/f") == b"first"
    assert disk.durable("/d/f") == bytes(5)


def test_a_crash_leaves_half_of_a_write_and_ends_all_further_calls() -> None:
    disk = FakeDisk()
    disk.mkdir("/d")
    handle = disk.create("/d/f")
    disk.arm(Fault(1, when="half"))
    with pytest.raises(Crash):
        disk.write(handle, b"0123456789")
    with pytest.raises(Crash):
        disk.listdir("/d")
    disk.close(handle)
    disk.restart()
    assert disk.read("/d/f") == b"01234"


def test_a_lasting_fault_hits_until_it_is_mended() -> None:
    disk = FakeDisk()
    disk.arm(Fault(2, errno.EROFS, lasting=True))
    disk.mkdir("/d")
    for _ in range(2):
        with pytest.raises(OSError, match="Read-only"):
            disk.mkdir("/e")
    disk.mend()
    disk.mkdir("/e")


def test_a_full_disk_takes_what_fits_and_says_so_for_the_rest() -> None:
    disk = FakeDisk()
    disk.mkdir("/d")
    handle = disk.create("/d/f")
    disk.fill(4)
    assert disk.write(handle, b"0123456789") == 4
    with pytest.raises(OSError, match="No space"):
        disk.write(handle, b"4")
    disk.close(handle)
    disk.unlink("/d/f")
    assert written(disk, "/d/g", b"0123")


def _session(disk: Any, folder: Path) -> list[Any]:
    """Calls and their answers, as a disk gives them; errors by number."""
    answers: list[Any] = []

    def ask(name: str, *arguments: Any) -> Any:
        try:
            answer = getattr(disk, name)(*arguments)
        except OSError as error:
            answer = errno.errorcode[error.errno or 0]
        answers.append((name, answer if name not in ("create", "open_read") else "a handle"))
        return answer

    a, b, missing = folder / "a", folder / "b", folder / "missing"
    handle = ask("create", a)
    ask("create", a)
    ask("write", handle, b"hello")
    ask("link", a, b)
    ask("link", a, b)
    ask("rename_new", a, b)
    ask("rename_new", missing, b)
    ask("exchange", a, missing)
    ask("rename", missing, a)
    ask("unlink", missing)
    ask("open_read", missing)
    ask("read", folder)
    ask("listdir", missing)
    ask("mkdir", folder / "x" / "y")
    ask("mkdir", folder / "x" / "y")
    ask("mkdir", a / "z")
    ask("fsync_dir", missing)
    ask("remove_all", [missing, b])
    answers.append(sorted(disk.listdir(folder)))
    answers.append(disk.stat(a)[0::3][:1])
    return answers


def test_the_fake_disk_answers_as_the_real_one_does(tmp_path: Path) -> None:
    fake = FakeDisk()
    fake.mkdir("/home")
    assert _session(fake, Path("/home")) == _session(RealDisk(), tmp_path)


def test_a_changed_file_has_another_version_and_an_unchanged_one_the_same() -> None:
    disk = FakeDisk()
    disk.mkdir("/d")
    handle = written(disk, "/d/f", b"same size")
    before = disk.stat("/d/f").version
    disk.rename("/d/f", "/d/g")
    assert disk.stat("/d/g").version == before
    disk.write_at(handle, b"x", 0)
    assert disk.stat("/d/g").version != before


# --- clock and effects


def test_the_clocks_can_be_moved_apart() -> None:
    clock = FakeClock()
    monotonic, boottime, wall = clock.monotonic(), clock.boottime(), clock.now()
    clock.advance(1)
    clock.suspend(10)
    clock.jump_wall(-100)
    assert clock.monotonic() == monotonic + 1
    assert clock.boottime() == boottime + 11
    assert (clock.now() - wall).total_seconds() == 11 - 100
    boot = clock.boot_id()
    clock.reboot()
    assert clock.boot_id() != boot


def test_effects_of_one_lane_keep_their_order_and_post_what_they_raise() -> None:
    posted: list[Any] = []
    got: list[Any] = []
    effects = ScheduledEffects(posted.append)
    effects.run("a", lambda: "first", got.append)
    effects.run("a", lambda: 1 / 0, got.append)
    effects.run("b", lambda: "other", got.append)
    assert effects.lanes == ["a", "b"]
    effects.run_one("b")
    effects.close()
    for item in posted:
        item()
    assert got[:2] == ["other", "first"]
    assert isinstance(got[2], ZeroDivisionError)


# --- the executor


def launch(tmp_path: Path, nonce: int = 1, **changes: Any) -> Launch:
    fields: dict[str, Any] = {
        "worker_id": "worker-cmd-001",
        "nonce": nonce,
        "attempt_dir": "/state/attempts/worker-cmd-001",
        "lock_dir": "/run/worker-cmd-001",
        "worker_dir": str(tmp_path / "worker"),
        "spec": {},
        "spec_path": "/specs/worker-cmd-001.json",
        "argv": ("true",),
        "env": {},
        "cwd": None,
        "timeout_s": 60.0,
        "grace_s": 5.0,
        "log_limit_bytes": 1000,
        "boot_id": "",
    }
    return Launch(**{**fields, **changes})


class Bench:
    """A machine with one kind of worker, and a daemon's executor on it."""

    def __init__(self, behaviour: Behaviour) -> None:
        self.clock = FakeClock()
        self.disk = FakeDisk(self.clock)
        self.machine = FakeMachine(self.clock, self.disk, behave=lambda _launch, _chance: behaviour)
        self.executor = FakeExecutor(self.machine)

    def after(self, seconds: float) -> Any:
        """The worker's sighting so much later."""
        self.machine.pass_time(seconds)
        return self.executor.look(
            "worker-cmd-001", "/run/worker-cmd-001", "/state/attempts/worker-cmd-001"
        )


def test_a_worker_is_claimed_runs_and_leaves_its_record(tmp_path: Path) -> None:
    bench = Bench(Behaviour(run_s=10, tokens=7))
    bench.executor.start([launch(tmp_path)])
    sighting = bench.after(1)
    assert sighting.claim["by"] == "shim"
    assert sighting.lock_held
    sighting = bench.after(10)
    assert not sighting.lock_held
    assert (sighting.exit.code, sighting.exit.nonce) == (0, 1)
    kinds = [type(report) for report in bench.executor.poll()]
    assert kinds == [Claimed, Exited]
    assert (tmp_path / "worker" / "results.json").exists()


def test_whoever_has_the_claim_keeps_the_other_from_it(tmp_path: Path) -> None:
    bench = Bench(Behaviour(claim_after_s=5))
    bench.machine.hurry = lambda worker_id: None  # type: ignore[method-assign]
    bench.executor.start([launch(tmp_path)])
    assert bench.executor.claim("worker-cmd-001", "/run/worker-cmd-001", 1)
    sighting = bench.after(10)
    assert sighting.claim["by"] == "daemon"
    assert not bench.machine.runs


def test_a_second_run_of_a_worker_is_counted(tmp_path: Path) -> None:
    bench = Bench(Behaviour(run_s=1))
    for nonce in (1, 2):
        bench.executor.start([launch(tmp_path, nonce)])
        bench.after(5)
    assert bench.machine.violations == ["the program of worker-cmd-001 ran 2 times"]


def test_a_timeout_ends_a_worker_and_a_stop_sooner(tmp_path: Path) -> None:
    bench = Bench(Behaviour(run_s=1000))
    bench.executor.start([launch(tmp_path)])
    assert bench.after(61).exit.cause == "timeout"
    bench = Bench(Behaviour(run_s=1000))
    bench.executor.start([launch(tmp_path)])
    bench.after(1)
    assert bench.executor.stop("worker-cmd-001", "/run/worker-cmd-001")
    assert bench.after(1).exit.cause == "stop"


def test_a_reboot_leaves_no_process_and_no_claim(tmp_path: Path) -> None:
    bench = Bench(Behaviour(run_s=1000))
    bench.executor.start([launch(tmp_path)])
    bench.after(1)
    bench.machine.reboot(keeps_claims=False)
    sighting = bench.after(1)
    assert (sighting.claim, sighting.lock_held, sighting.exit) == (None, False, None)


def test_the_fake_disk_has_every_call_of_the_seam() -> None:
    from cortex.model.seams import Disk

    calls = {name for name in vars(Disk) if not name.startswith("_")}
    assert calls <= set(dir(FakeDisk))
