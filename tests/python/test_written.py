"""What the commands search, recover, dump, export, report, info and osi-test do, asked of the module."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

import pyosier
from conftest import SNAPSHOTS
from test_rows import run, same

RULE = 'rule version { strings: $a = "Linux version" condition: $a }\n'


def rows(lines: list[str]) -> list[dict[str, object]]:
    """The rows among lines of JSON."""
    return [row for row in map(json.loads, lines) if "end" not in row]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--text", "spinner"], {"text": "spinner"}),
        (["--text", "spinner", "--text", "Linux version"], {"text": ["spinner", "Linux version"]}),
        (["--hex", "4c 69 6e 75 78 ?? 76 65 72"], {"hex": "4c 69 6e 75 78 ?? 76 65 72"}),
        (["--regex", "Linux version [0-9.]+", "--kernel"], {"regex": "Linux version [0-9.]+", "kernel": True}),
        (["--text", "PATH=", "--pid", "1"], {"text": "PATH=", "pid": 1}),
        (["--wide-text", "spinner"], {"wide_text": "spinner"}),
    ],
)
def test_search(guest: pyosier.Guest, path: Path, words: list[str], said: dict[str, object]) -> None:
    lines = rows(run("search", path, *words, "--format", "jsonl"))
    answer = guest.search(**said)  # type: ignore[arg-type]
    kept = list(answer)
    assert len(kept) == len(lines) == answer.count()
    assert kept or "wide_text" in said
    for row, line in zip(kept, lines, strict=True):
        same(row, line)
    # It is asked once and kept, and is a table like every answer.
    assert list(answer) == kept and answer.question == "search"
    assert any(end.walk == "search" for end in answer.ends)
    assert isinstance(answer._repr_html_(), str)
    # A distilled snapshot has few pages of a process, and says which it has not.
    assert bool(answer.remarks) == (answer.losses > sum(row.losses for row in kept))


def test_search_by_rules(guest: pyosier.Guest, path: Path, tmp_path: Path) -> None:
    rules = tmp_path / "rules.yar"
    rules.write_text(RULE)
    lines = rows(run("search", path, "--yara", rules, "--format", "jsonl"))
    found = list(guest.search(yara=rules))
    assert len(found) == len(lines) > 0 and found[0].rule == "version"
    for row, line in zip(found, lines, strict=True):
        same(row, line)
    rules.write_text("rule {")
    for wrong in ({"yara": rules}, {"yara": tmp_path / "none"}, {"regex": "("}, {"hex": "7"}, {}):
        with pytest.raises(pyosier.UsageError):
            guest.search(**wrong)
    with pytest.raises(pyosier.UsageError):
        guest.search(text="x", pid=1, kernel=True)
    with pytest.raises(pyosier.NoProcessError):
        guest.search(text="x", pid=4_000_000)
    late = guest.search(text="x", time_limit=0)
    assert [end.how for end in late.ends if end.walk == "search"] == ["limit"] and not late.complete


def test_a_search_is_a_table(guest: pyosier.Guest) -> None:
    pa = pytest.importorskip("pyarrow")
    answer = guest.search(text="spinner")
    table = pa.table(answer)
    assert table.num_rows == answer.count() and table["address"].type == pa.uint64()
    assert table["rule"].to_pylist() == ["spinner"] * answer.count()
    empty = pa.table(guest.search(text="nothing that is anywhere"))
    assert empty.num_rows == 0 and empty.schema == table.schema


def test_kept_files(guest: pyosier.Guest, path: Path, tmp_path: Path) -> None:
    lines = rows(run("recover", path, "--format", "jsonl"))
    kept = list(guest.kept())
    assert len(kept) == len(lines)
    for row, line in zip(kept, lines, strict=True):
        same(row, line)
    for row in kept[:3]:
        assert row.mapping is not None
        ours, theirs = tmp_path / "ours", tmp_path / "theirs"
        told = guest.recover(row, ours)
        run("recover", path, "--mapping", f"{row.mapping:#x}", "-o", theirs)
        assert ours.read_bytes() == theirs.read_bytes() and told.bytes == ours.stat().st_size
        assert guest.recover(row.mapping, ours).lost_bytes == told.lost_bytes
    with pytest.raises(pyosier.UnknownNameError):
        guest.recover(16, tmp_path / "none")
    assert not (tmp_path / "none").exists()


def test_dump(guest: pyosier.Guest, path: Path, tmp_path: Path) -> None:
    shell = next(row for row in guest.processes() if row.name == "spinner-0")
    banner = guest.symbol("linux_banner")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    for words, written in (
        (["--pid", str(shell.pid)], guest.dump(ours, shell)),
        (["--range", f"{banner:x}-{banner + 64:x}"], guest.dump(tmp_path / "r", range=(banner, banner + 64))),
    ):
        run("dump", path, *words, "-o", theirs)
        mine = ours if "--pid" in words else tmp_path / "r"
        assert mine.read_bytes() == theirs.read_bytes()
        assert written.bytes == mine.stat().st_size and written.memory > 0
        assert written.complete == (written.lost_bytes == 0 and all(end.closed for end in written.ends))
        assert sum(lost.bytes for lost in written.lost) == written.lost_bytes
        for lost in written.lost:
            assert lost.why.loss and str(lost.why)
    assert guest.read(banner, 64) == (tmp_path / "r").read_bytes()
    wrongs: list[dict[str, object]] = [
        {},
        {"exe": True},
        {"pid": 1, "module": "ext4"},
        {"module": "ext4", "range": (0, 1)},
        {"pid": 1, "exe": True, "range": (0, 1)},
        {"range": (2, 1)},
    ]
    for wrong in wrongs:
        with pytest.raises(pyosier.Error):
            guest.dump(tmp_path / "w", **wrong)  # type: ignore[arg-type]
    with pytest.raises(pyosier.UnknownNameError):
        guest.dump(tmp_path / "w", module="no such module")
    with pytest.raises(pyosier.NoProcessError):
        guest.dump(tmp_path / "w", 2)
    with pytest.raises(pyosier.ReadError):
        guest.dump(tmp_path / "no/folder", 1)
    assert not (tmp_path / "w").exists()
    kept = tmp_path / "kept.elf"
    kept.write_bytes(path.read_bytes())
    with pytest.raises(pyosier.UsageError):
        pyosier.open(kept, cache=False).dump(kept, 1)
    assert kept.read_bytes() == path.read_bytes()


@pytest.mark.parametrize("to", ["raw", "elf", "lime"])
def test_export(path: Path, tmp_path: Path, to: str) -> None:
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    done = pyosier.export(path, ours, to=to, cache=False)  # type: ignore[arg-type]
    run("export", path, "--to", to, "-o", theirs)
    assert done.bytes == ours.stat().st_size and done.memory > 0
    assert subprocess.run(["cmp", ours, theirs], check=False).returncode == 0
    if to != "raw":
        again = pyosier.open(ours, cache=False)
        assert list(again.processes()) == list(pyosier.open(path, cache=False).processes())
    with pytest.raises(pyosier.UsageError):
        pyosier.export(path, ours, to="zip")  # type: ignore[arg-type]
    with pytest.raises(pyosier.UsageError):
        pyosier.export(ours, ours, to="elf")
    with pytest.raises(pyosier.NotASnapshotError):
        pyosier.export(__file__, tmp_path / "x", to="elf")


def test_report(path: Path, tmp_path: Path) -> None:
    ours, theirs = tmp_path / "ours.html", tmp_path / "theirs.html"
    series = [SNAPSHOTS / f"deb12-6.1-amd64-events-{part}.elf" for part in "ab"]
    for paths in ([path], series):
        done = pyosier.report(paths, ours, cache=False)
        run("report", *paths, "-o", theirs)
        assert ours.read_bytes() == theirs.read_bytes()
        assert len(done.snapshots) == len(paths) and done.failed == [] and done.others == []
        assert done.complete == (done.losses == 0 and not done.remarks)
    other = tmp_path / "folder"
    other.mkdir()
    (other / "text.txt").write_text("no snapshot")
    (other / "one.elf").write_bytes(path.read_bytes())
    done = pyosier.report(other, ours, rows=3, cache=False)
    assert done.snapshots == ["one.elf"] and done.others == ["text.txt"]
    with pytest.raises(pyosier.NotASnapshotError):
        pyosier.report(__file__, tmp_path / "none.html")
    with pytest.raises(pyosier.UsageError):
        pyosier.report(other / "one.elf", other / "one.elf")
    assert not (tmp_path / "none.html").exists()


def test_what_cannot_be_written_says_where(guest: pyosier.Guest, path: Path, tmp_path: Path) -> None:
    nowhere = tmp_path / "none" / "page.html"
    with pytest.raises(pyosier.ReadError, match="page.html"):
        pyosier.report(path, nowhere, cache=False)
    for wrong in ((10, 5), (5, 5), (0, 1 << 50)):
        with pytest.raises(pyosier.UsageError):
            guest.dump(tmp_path / "range", range=wrong)
    with pytest.raises(pyosier.UsageError):
        guest.search(text="x", time_limit=-1)


def test_info_and_osi_test(golden: str) -> None:
    path = SNAPSHOTS / f"{golden}.elf"
    guest = pyosier.open(path, cache=False)
    words = " ".join(value for _, value in guest.info())
    assert guest.banner.strip() in words
    shown = run("info", path, "--format", "table")
    for name, value in guest.info():
        assert any(name in line and value in line for line in shown), (name, value)
    if guest.os == "linux" or guest.pointer_bytes == 4:
        command = [sys.executable, "-m", "pyosier", "osi-test", str(path), "--no-cache"]
        printed = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=False)
        assert guest.osi_test() == printed.stdout != b""
