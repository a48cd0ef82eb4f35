"""Publishing by exchange: no edit of somebody else is ever overwritten unseen."""

import errno
from pathlib import Path

import pytest

from cortex.store.disk import RealDisk
from cortex.store.publish import LINGER_S, LateEdit, Publisher

from .failing_disk import FailingDisk


@pytest.fixture
def path(tmp_path: Path) -> Path:
    (tmp_path / "coordination").mkdir()
    return tmp_path / "coordination" / "task-queue.json"


def publisher(path: Path, disk: RealDisk | None = None) -> Publisher:
    return Publisher(disk or RealDisk(), path.parents[1] / "out")


def left(path: Path) -> list[str]:
    return sorted(entry.name for entry in (path.parents[1] / "out").iterdir())


def test_publications_follow_each_other(path: Path) -> None:
    ours = publisher(path)
    first = ours.publish(path, [b"one ", b"chunk\n"], 1)
    assert (first.edited, first.was_missing) == (False, True)
    assert path.read_bytes() == b"one chunk\n"
    for seq in range(2, 20):
        result = ours.publish(path, [b"%d\n" % seq], seq)
        assert (result.edited, result.was_missing) == (False, False)
    assert path.read_bytes() == b"19\n"
    assert len(left(path)) <= 2, "old versions don't pile up"
    ours.sweep(0)
    ours.sweep(LINGER_S)
    assert left(path) == []


def test_a_reader_sees_a_whole_document_at_any_time(path: Path) -> None:
    ours = publisher(path)
    ours.publish(path, [b"old"], 1)
    with path.open("rb") as reader:
        ours.publish(path, [b"new"], 2)
        assert reader.read() == b"old"
    assert path.read_bytes() == b"new"


@pytest.mark.parametrize("way", ["in place", "by rename", "by folder"])
@pytest.mark.parametrize("exchange", [True, False])
def test_an_edit_that_lost_the_race_is_kept(path: Path, way: str, exchange: bool) -> None:
    disk = FailingDisk()
    if not exchange:
        disk.fail = {"exchange": errno.EINVAL}
    ours = publisher(path, disk)
    ours.publish(path, [b"first"], 1)
    if way == "by folder":
        path.unlink()
        path.mkdir()
    elif way == "by rename":
        draft = path.with_suffix(".tmp")
        draft.write_bytes(b"edit!")
        draft.rename(path)
    else:
        path.write_bytes(b"edit!")
    result = ours.publish(path, [b"second"], 2)
    assert result.edited
    assert result.kept is not None
    assert path.read_bytes() == b"second"
    if way == "by folder":
        assert result.kept.is_dir()
    else:
        assert result.kept.read_bytes() == b"edit!"
        assert result.has_writer is False
    assert not ours.publish(path, [b"third"], 3).edited


@pytest.mark.parametrize("exchange", [True, False])
def test_a_deleted_document_is_published_again(path: Path, exchange: bool) -> None:
    disk = FailingDisk()
    if not exchange:
        disk.fail = {"exchange": errno.ENOSYS}
    ours = publisher(path, disk)
    ours.publish(path, [b"first"], 1)
    path.unlink()
    result = ours.publish(path, [b"second"], 2)
    assert result.was_missing
    assert path.read_bytes() == b"second"


def test_an_editor_that_writes_into_the_version_taken_out_is_heard(path: Path) -> None:
    ours = publisher(path)
    ours.publish(path, [b"first"], 1)
    with path.open("r+b", buffering=0) as editor:
        assert not ours.publish(path, [b"second"], 2).edited
        assert ours.sweep(0) == []
        assert ours.sweep(100) == [], "it is open for writing: nothing is deleted"
        editor.write(b"EDIT!")
        assert ours.sweep(101) == [], "not before it is closed"
    (late,) = ours.sweep(102)
    assert late == LateEdit(path, late.kept)
    assert late.kept.read_bytes() == b"EDIT!"


def test_a_later_life_knows_what_the_earlier_published(path: Path) -> None:
    publisher(path).publish(path, [b"first"], 1)
    again = publisher(path)
    assert again.untouched(path)
    assert not again.publish(path, [b"second"], 2).edited
    third = publisher(path)
    assert not third.publish(path, [b"third"], 3).edited


def test_an_edit_while_no_daemon_ran_is_kept(path: Path) -> None:
    publisher(path).publish(path, [b"first"], 1)
    path.write_bytes(b"edit")
    again = publisher(path)
    assert not again.untouched(path)
    result = again.publish(path, [b"second"], 2)
    assert result.edited
    assert result.kept is not None
    assert result.kept.read_bytes() == b"edit"


def test_untouched_says_no_to_edited_missing_and_replaced_documents(path: Path) -> None:
    ours = publisher(path)
    assert not ours.untouched(path)
    ours.publish(path, [b"first"], 1)
    assert ours.untouched(path)
    path.write_bytes(b"edits")
    assert not ours.untouched(path)
    path.unlink()
    path.symlink_to("/etc/passwd")
    assert not ours.untouched(path)


def test_a_symlink_in_the_documents_place_is_kept_and_not_followed(path: Path) -> None:
    target = path.parents[1] / "precious"
    target.write_bytes(b"precious")
    path.symlink_to(target)
    result = publisher(path).publish(path, [b"ours"], 1)
    assert result.edited
    assert result.kept is not None
    assert result.kept.is_symlink()
    assert not path.is_symlink()
    assert target.read_bytes() == b"precious"


@pytest.mark.parametrize("call", ["write", "create", "exchange"])
def test_a_full_disk_leaves_the_published_document_whole(path: Path, call: str) -> None:
    disk = FailingDisk()
    ours = publisher(path, disk)
    ours.publish(path, [b"first"], 1)
    disk.fail = {call: errno.ENOSPC}
    with pytest.raises(OSError, match="No space"):
        ours.publish(path, [b"second"], 2)
    assert path.read_bytes() == b"first"
    disk.fail = {}
    assert not ours.publish(path, [b"third"], 3).edited
    assert path.read_bytes() == b"third"


def test_a_removed_out_folder_is_made_again(path: Path) -> None:
    ours = publisher(path)
    ours.publish(path, [b"first"], 1)
    for name in left(path):
        (path.parents[1] / "out" / name).unlink()
    (path.parents[1] / "out").rmdir()
    assert ours.leftovers([path]) == [], "as is asked after a publication that failed"
    ours.publish(path, [b"second"], 2)
    assert path.read_bytes() == b"second"


def test_edits_that_an_earlier_life_kept_are_handed_on_once(path: Path) -> None:
    ours = publisher(path)
    ours.publish(path, [b"first"], 1)
    path.write_bytes(b"edit")
    kept = ours.publish(path, [b"second"], 2).kept
    ours.publish(path, [b"third"], 3)
    (path.parents[1] / "out" / ".half.draft").write_bytes(b"{")
    again = publisher(path)
    assert again.leftovers([path]) == [LateEdit(path, kept)]
    assert left(path) == ["task-queue.json.2"]


def whole(_path: Path, stat: object) -> bool:
    return getattr(stat, "size", 0) > 1


@pytest.mark.parametrize(
    ("data", "is_open", "said"),
    [(b"mine", False, "edited"), (b"{", False, "unfinished"), (b"mine", True, "unfinished")],
)
def test_a_look_tells_an_edit_from_one_that_is_not_finished(
    path: Path, data: bytes, is_open: bool, said: str
) -> None:
    ours = publisher(path)
    assert ours.look(path, whole) == "missing"
    ours.publish(path, [b"first"], 1)
    assert ours.look(path, whole) == "ours"
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        if not is_open:
            file.close()
        assert ours.look(path, whole) == said


def test_an_edit_that_was_taken_up_stays_until_its_editor_is_done(path: Path) -> None:
    ours = publisher(path)
    ours.publish(path, [b"first"], 1)
    path.write_bytes(b"an edit")
    kept = ours.publish(path, [b"second"], 2).kept
    assert kept is not None
    with kept.open("r+b") as editor:
        ours.linger(path, kept, RealDisk().stat(kept).version)
        editor.write(b"more of it")
        editor.flush()
        assert ours.sweep(0) == [], "it is still open"
        assert ours.sweep(LINGER_S + 1) == []
    assert ours.sweep(LINGER_S + 2) == [LateEdit(path, kept)]
    ours.linger(path, kept, RealDisk().stat(kept).version)
    assert ours.sweep(100) == []
    assert ours.sweep(100 + LINGER_S) == []
    assert not kept.exists()
