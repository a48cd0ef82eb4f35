"""Where control groups may be made, as far as it is read from texts."""

from __future__ import annotations

from cortex.runtime.shim_groups import mounts_of, read_whole

HYBRID = """\
22 1 0:21 / / rw - tmpfs  rw,size=10%
30 22 0:24 / /proc/sys/fs/binfmt_misc rw - autofs systemd-1 rw
42 22 0:49 / /sys/fs/cgroup ro shared:19 - tmpfs tmpfs ro,mode=755
43 42 0:30 / /sys/fs/cgroup/cpu,cpuacct rw shared:20 - cgroup cgroup rw,cpu,cpuacct
46 42 0:36 /docker/1 /sys/fs/cgroup/pids rw shared:23 - cgroup cgroup rw,pids
51 42 0:38 / /sys/fs/cgroup/unified rw shared:28 - cgroup2 cgroup rw
"""


def test_hierarchies_are_found_among_mounts_of_every_shape() -> None:
    found = mounts_of(HYBRID)
    assert found[""] == "/sys/fs/cgroup/unified\0/"
    assert found["cpuacct"] == found["cpu"] == "/sys/fs/cgroup/cpu,cpuacct\0/"
    assert found["pids"] == "/sys/fs/cgroup/pids\0/docker/1"
    assert mounts_of("") == {}


def test_a_file_of_the_kernels_is_read_past_its_first_page() -> None:
    text = read_whole("/proc/self/smaps")
    assert len(text) > 4096
    assert text.rpartition("\n")[0].rpartition("\n")[2].startswith("VmFlags:")
    assert read_whole("/proc/self/nothing") == ""
