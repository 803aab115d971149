"""CPU time and memory of a process group."""

import os
import subprocess
import sys
import time

import pytest

from benchmarks.process_tree import PROC, ProcessGroup, parse_stat

pytestmark = pytest.mark.skipif(not (PROC / "self" / "smaps_rollup").exists(), reason="needs Linux's /proc")

_LINE = "1234 (a ) (b)) S 1 77 77 0 -1 4194560 100 0 0 0 11 7 5 3 20 0 1 0 100 1000 10"


def test_a_command_name_with_parentheses_and_spaces_does_not_shift_the_fields():
    stat = parse_stat(_LINE)
    assert (stat.group, stat.ticks) == (77, 11 + 7 + 5 + 3)


def test_only_the_groups_own_processes_count(tmp_path):
    for pid, group, pss in ((10, 77, 300), (11, 77, 50), (12, 78, 9000)):
        folder = tmp_path / str(pid)
        folder.mkdir()
        (folder / "stat").write_text(f"{pid} (x) S 1 {group} {group} 0 -1 0 0 0 0 0 100 50 0 0 20 0")
        (folder / "smaps_rollup").write_text(f"Rss: 9999 kB\nPss:   {pss} kB\nPss_Dirty: 7 kB\n")
    (tmp_path / "13").mkdir()  # a process that has just gone
    (tmp_path / "self").mkdir()
    group = ProcessGroup(77, tmp_path)
    assert group.cpu_seconds() == pytest.approx(300 / os.sysconf("SC_CLK_TCK"))
    assert group.memory_bytes() == 350 * 1024


def test_a_real_group_is_seen_to_work_and_to_grow_and_its_dead_children_count():
    program = (
        "import subprocess, sys, time\n"
        "print('there', flush=True); sys.stdin.readline()\n"
        "subprocess.run([sys.executable, '-c', 'import time\\nwhile time.process_time() < 0.3: pass'])\n"
        "held = bytearray(b'x') * 30_000_000; print('done', flush=True); sys.stdin.readline()"
    )
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", program], stdin=pipe, stdout=pipe, text=True, start_new_session=True) as process:
        process.stdout.readline()
        group = ProcessGroup(process.pid)
        cpu, memory = group.cpu_seconds(), group.memory_bytes()
        with group.peak() as peak:
            process.stdin.write("\n")
            process.stdin.flush()
            process.stdout.readline()
            time.sleep(0.06)
        assert group.cpu_seconds() - cpu >= 0.25
        assert peak.bytes - memory >= 28_000_000
        process.communicate("\n")
    assert group.cpu_seconds() == group.memory_bytes() == 0
