"""Many snapshots, and what differs between two; types and objects of the kernel."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest

import pyosier
from conftest import GOLDEN, SNAPSHOTS

A, B = (SNAPSHOTS / f"deb12-6.1-amd64-events-{which}.elf" for which in "ab")


def test_a_run_gives_parts_with_their_manifest() -> None:
    done: list[tuple[int, int]] = []
    run = pyosier.run(
        SNAPSHOTS,
        tables=["ps", "modules"],
        jobs=2,
        cache=False,
        progress=lambda done_now, of: done.append((done_now, of)),
    )
    parts = list(run)
    assert [part.manifest["snapshot"] for part in parts] == sorted(f"{name}.elf" for name in GOLDEN)
    for part in parts:
        assert part.manifest["status"] == "complete" and set(part.tables) == {"ps", "modules"}
        assert len(part.tables["ps"]) == part.manifest["rows"]["ps"]
        assert "complete" in repr(part)
    assert done[-1] == (len(GOLDEN), len(GOLDEN))
    assert list(run) == []


def test_a_run_taken_whole_is_the_tables_of_the_command(tmp_path: Path) -> None:
    pa = pytest.importorskip("pyarrow")
    parquet = pytest.importorskip("pyarrow.parquet")
    tables = pyosier.run([A, str(B)], tables=("ps", "maps"), cache=False).collect()
    assert set(tables) == {"ps", "maps", "manifest"} and len(tables["manifest"]) == 2
    command = [sys.executable, "-m", "pyosier", "run", str(A), str(B), "-o", str(tmp_path / "out")]
    subprocess.run([*command, "--to", "parquet", "--tables", "ps,maps", "-q"], check=True)
    for word in ("ps", "maps"):
        written = parquet.read_table(tmp_path / "out" / f"{word}.parquet")
        ours = pa.table(tables[word])
        assert written.schema.equals(ours.schema, check_metadata=False)
        assert written.equals(ours.cast(written.schema)) and len(tables[word]) == ours.num_rows
    assert tables["ps"].columns[:3] == ["snapshot", "id", "pid"]


def test_a_run_over_no_snapshot_raises(tmp_path: Path) -> None:
    text = tmp_path / "note.txt"
    text.write_text("no snapshot")
    for paths in ([text], [tmp_path], []):
        with pytest.raises(pyosier.NotASnapshotError):
            pyosier.run(paths, tables="ps", cache=False).collect()
    with pytest.raises(pyosier.NotASnapshotError, match="gone.elf: cannot be opened"):
        pyosier.run(tmp_path / "gone.elf", tables="ps", cache=False).collect()
    with pytest.raises(pyosier.UsageError):
        pyosier.run([A], tables="ps", time_limit=float("inf"))
    # What is no snapshot among others has its line.
    parts = list(pyosier.run([text, A], tables="ps", cache=False))
    assert [part.manifest["status"] for part in parts] == ["skipped", "complete"]
    assert parts[0].tables == {} and parts[0].manifest["why"]
    with pytest.raises(pyosier.UsageError):
        pyosier.run([A], tables="nothing")
    with pytest.raises(pyosier.NotFoundError):
        list(pyosier.run([A], profile="no-such-file"))
    with pyosier.run(SNAPSHOTS, cache=False) as run:
        next(run)
    assert list(run) == []


def test_diff_is_the_commands() -> None:
    before = pyosier.open(A, cache=False)
    found = pyosier.diff(before, B, ask=["ps", "threads", "modules", "maps", "current"], cache=False)
    command = [sys.executable, "-m", "pyosier", "diff", str(A), str(B), "--format", "jsonl", "-q"]
    command += ["--ask", "ps,threads,modules,maps,current"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert found.as_dicts() == [event for event in events if "event" in event]
    assert len(found) == len(found.events) == len(list(found)) > 0
    kinds = {event.event for event in found}
    assert {"process-gone", "process-executed", "process-started", "module-loaded"} <= kinds
    assert found.complete and found.losses == 0 and found.premises == []
    assert len(pyosier.diff(before, before, ask="ps")) == 0
    with pytest.raises(pyosier.UsageError, match="does not compare files"):
        pyosier.diff(before, before, ask=["ps", "files"])


def test_timeline_draws() -> None:
    line = pyosier.timeline([A, B], cache=False)
    assert line.by_clock and [label for label, _ in line.moments] == [str(A), str(B)]
    first, last = (clock for _, clock in line.moments)
    assert first is not None and last is not None and 60 < (last - first).total_seconds() < 240
    assert len(line) == len(line.lives) and {life.marks for life in line} >= {"==", "=.", ".#"}
    drawn = ElementTree.fromstring(line.svg())
    assert drawn.tag.endswith("svg") and line._repr_svg_() == line.svg()
    assert str(line).strip() and all(end.closed for end in line.ends)
    with pytest.raises(pyosier.NotASnapshotError):
        pyosier.timeline([])


def test_check_and_distill(tmp_path: Path) -> None:
    cases = pyosier.check([A], SNAPSHOTS, cache=False)
    assert cases and {case.verdict for case in cases} <= {"same", "missing"}
    small = tmp_path / "small.elf"
    done = pyosier.distill(A, small, ask="ps", cache=False)
    assert done.pages and done.lost == 0 and done.bytes == small.stat().st_size
    assert list(pyosier.open(small, cache=False).processes()) == list(pyosier.open(A).processes())
    [made] = pyosier.check(small, tmp_path / "golden", ask="ps", update=True, cache=False)
    assert made.verdict == "updated" and made.ok
    [kept] = pyosier.check(small, tmp_path / "golden", ask="ps", cache=False)
    assert kept.verdict == "same" and kept.differences == []
    rows = tmp_path / "golden/small/ps.jsonl"
    rows.write_text(rows.read_text().replace('"ppid":0', '"ppid":7', 1))
    [wrong] = pyosier.check(small, tmp_path / "golden", ask="ps", cache=False)
    assert wrong.verdict == "differs" and not wrong.ok and "ppid" in wrong.differences[0]
    assert pyosier.check(small, tmp_path / "golden", ask="ps", ignore=["ppid"], cache=False)[0].ok
    with pytest.raises(pyosier.NotFoundError):
        pyosier.check(small, tmp_path / "nowhere")
    with pytest.raises(pyosier.UsageError):
        pyosier.distill(small, small)


def test_types_and_objects(guest: pyosier.Guest) -> None:
    task = guest.type("task_struct")
    assert "task_struct" in guest.types and task.kind == "struct" and task.size > 4096
    comm = task.members["comm"]
    assert (comm.kind, comm.count, comm.size) == ("array", 16, 16) and comm.offset > 0
    init = next(process for process in guest.processes() if process.pid == 1)
    assert init.taskd is not None
    thing = guest.object("task_struct", init.taskd)
    assert thing.comm.split(b"\0")[0] == b"sleep" and thing["comm"] == thing.comm
    assert thing.tgid == 1 and thing.real_parent.tgid == 0
    assert thing.mm.pgd == init.pgd and thing.address_ == init.taskd
    assert thing.real_parent.address_ == guest.symbol("init_task")
    assert thing.type_.name == "task_struct" and "comm" in dir(thing)
    assert thing == guest.object("task_struct", init.taskd) and repr(thing).startswith("<task_struct at 0x")
    kernel = next(process for process in guest.processes() if process.pid == 2)
    assert kernel.taskd is not None and guest.object("task_struct", kernel.taskd).mm is None
    with pytest.raises(AttributeError):
        thing.nothing
    for use in (lambda: thing["nothing"], lambda: guest.type("nothing"), lambda: guest.object("x", 0)):
        with pytest.raises(pyosier.UnknownNameError):
            use()
    with pytest.raises(pyosier.FaultError):
        guest.object("task_struct", 0x10).comm


def test_the_tree_draws(guest: pyosier.Guest, path: Path) -> None:
    tree = guest.tree()
    lines = str(tree).splitlines()
    # A name may hold what parts lines; the tree shows it by its number.
    assert len(lines) == guest.processes().count()
    assert any(line.endswith("─ spinner-0 185") for line in lines)
    drawn = ElementTree.fromstring(tree.svg())
    assert len(drawn.findall("{*}text")) == len(lines) and tree._repr_svg_() == tree.svg()
