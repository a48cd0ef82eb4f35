"""The journal under real violence: kill -9 in the middle of commits, and a disk that is full."""

import random
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from cortex.store.disk import RealDisk
from cortex.store.journal import recover
from namespaces import mount_namespace

# Appends for ever and tells the seq of each line after its commit.
_WRITER = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from cortex.store.disk import RealDisk
from cortex.store.journal import recover

folder = Path(sys.argv[1])
journal = recover(RealDisk(), folder / "journal", ballast=folder / "ballast").journal
while True:
    for _ in range(journal.seq % 5 + 1):
        journal.append(datetime.now(UTC), "writer", "x" * (journal.seq % 3000), [])
    journal.commit()
    print(journal.seq, flush=True)
"""

# Fills a small tmpfs, sees the journal wait, frees space and sees it go on; prints what it saw.
_FULL = """
import sys
from datetime import UTC, datetime
from pathlib import Path
from cortex.store.disk import RealDisk
from cortex.store.journal import recover
from cortex.store.journal_errors import JournalFull

folder = Path(sys.argv[1])
disk = RealDisk()
journal = recover(disk, folder / "journal", ballast=folder / "ballast").journal
journal.ensure_ballast(128 * 1024)
balloon = folder / "balloon"
with balloon.open("wb", buffering=0) as file:
    try:
        while True:
            file.write(b"x" * 4096)
    except OSError:
        pass
waited = False
for number in range(100):
    journal.append(datetime.now(UTC), "writer", "x" * 1000, [])
    try:
        journal.commit()
    except JournalFull:
        waited = True
        break
assert waited, "the disk never was full"
assert all(part.endswith(b"}") for path in (folder / "journal").iterdir()
           for part in path.read_bytes().split(b"\\n")[:-1])
assert journal.release_ballast()
journal.commit()
assert journal.pending == 0
balloon.unlink()
journal.append(datetime.now(UTC), "writer", "goes on", [])
journal.commit()
again = recover(disk, folder / "journal", ballast=folder / "ballast")
assert again.torn is None
assert [line.seq for line in again.lines] == list(range(1, journal.seq + 1))
print("recovered", journal.seq)
"""


@pytest.mark.parametrize("seed", range(3))
def test_no_committed_line_is_lost_by_kill_9(tmp_path: Path, seed: int) -> None:
    chance = random.Random(seed)
    told = 0
    for _ in range(4):
        with subprocess.Popen(
            [sys.executable, "-c", _WRITER, str(tmp_path)], stdout=subprocess.PIPE
        ) as writer:
            assert writer.stdout is not None
            for _ in range(chance.randint(1, 150)):
                told = int(writer.stdout.readline())
            writer.send_signal(signal.SIGKILL)
            rest = writer.stdout.read().split(b"\n")[:-1]
            told = int(rest[-1]) if rest else told
    found = recover(RealDisk(), tmp_path / "journal", ballast=tmp_path / "ballast")
    seqs = [line.seq for line in found.lines]
    assert seqs == list(range(1, len(seqs) + 1))
    assert len(seqs) >= told > 0


def test_a_really_full_disk_only_delays_the_journal(tmp_path: Path) -> None:
    command = mount_namespace()
    script = 'mount -t tmpfs -o size=1m tmpfs "$1" && exec "$2" -c "$3" "$1"'
    done = subprocess.run(
        [*command, "sh", "-c", script, "sh", str(tmp_path), sys.executable, _FULL],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("recovered")
