"""Rows are those of the command line: the golden ones, and those that the command writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import pyosier
from conftest import SNAPSHOTS

QUESTIONS = [
    "ps",
    "handles",
    "current",
    "threads",
    "modules",
    "maps",
    "pages",
    "files",
    "env",
    "log",
    "ps_wide",
    "mounts",
    "sockets",
    "net",
    "scan",
    "findings",
]


def number(value: Any) -> Any:
    """A number of JSON, where addresses are hexadecimal text."""
    return int(value, 16) if isinstance(value, str) else value


def nanoseconds(text: str) -> int:
    """An instant of JSON as nanoseconds since 1970."""
    from datetime import datetime

    head, fraction = text.removesuffix("Z").split(".")
    seconds = datetime.fromisoformat(head + "+00:00").timestamp()
    return int(seconds) * 10**9 + int(fraction.ljust(9, "0"))


def same(row: pyosier.Row, line: dict[str, Any]) -> None:
    """Holds a row against its object in JSON."""
    absent = line.pop("absent", {})
    for name in row.as_dict():
        value, kind = line.pop(name), vars(type(row))[name].kind
        if value is None:
            assert getattr(row, name) is None, name
        elif kind in ("address", "number"):
            assert getattr(row, name) == number(value), name
        elif kind == "instant":
            assert row.raw(name) == nanoseconds(value), name
            assert int(getattr(row, name).timestamp() * 10**6) // 10 == row.raw(name) // 10**4, name
        elif kind == "bytes":
            whole = line.pop(f"{name}_hex", None)
            raw = row.raw(name)
            if whole is not None:
                assert raw == bytes.fromhex(whole), name
            else:
                assert raw.removesuffix(b"\0").replace(b"\0", b" ") == value.encode(), name
                assert getattr(row, name) == value, name
        else:
            assert getattr(row, name) == value, name
    assert line == {}
    assert row.absent.keys() == absent.keys()
    for name, fields in absent.items():
        why = row.absent[name]
        assert row.losses or not why.loss
        for field, value in fields.items():
            place = field in ("va", "pa", "entry", "raw")
            assert getattr(why, field) == (number(value) if place else value), (name, field)
        assert str(why)


def compare(answer: pyosier.Answer[Any], lines: list[str]) -> None:
    """Holds an answer against lines of JSON."""
    parsed = [json.loads(line) for line in lines]
    ends = [line["end"] for line in parsed if "end" in line]
    rows = [line for line in parsed if "end" not in line]
    kept = list(answer)
    assert len(kept) == len(rows) == answer.count()
    for row, line in zip(kept, rows, strict=True):
        same(row, line)
    assert [end.as_dict() for end in answer.ends if not end.closed] == ends
    assert answer.losses == sum(row.losses for row in kept)
    assert answer.complete == (not ends and not answer.losses)


@pytest.mark.parametrize("question", QUESTIONS)
def test_rows_are_the_golden_ones(golden: str, question: str) -> None:
    file = SNAPSHOTS / golden / f"{question}.jsonl"
    if not file.exists():
        pytest.skip("the snapshot was not distilled for this question")
    guest = pyosier.open(SNAPSHOTS / f"{golden}.elf", cache=False)
    compare(guest.ask(question), file.read_text().splitlines())


def test_golden_rows_are_of_questions() -> None:
    kept = {file.stem for file in SNAPSHOTS.glob("*/*.jsonl")}
    assert kept and kept <= set(QUESTIONS)


def run(*arguments: str | Path) -> list[str]:
    """The lines that the command of the wheel writes."""
    command = [sys.executable, "-m", "pyosier", *map(str, arguments), "--no-cache"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode in (0, 3), done.stderr
    return done.stdout.splitlines()


def of_run(folder: Path, question: str) -> dict[str, list[str]]:
    """The lines of a table that `osier run` wrote, by snapshot, without what names the snapshot."""
    lines: dict[str, list[str]] = {}
    for line in (folder / f"{question}.jsonl").read_text().splitlines():
        row = json.loads(line)
        name = row.pop("snapshot")
        del row["id"]
        # Tables have an `id` of their own, the snapshot's.
        row = {"id" if field == "mount_id" else field: value for field, value in row.items()}
        absent = row.get("absent", {})
        if "mount_id" in absent:
            absent["id"] = absent.pop("mount_id")
        lines.setdefault(name, []).append(json.dumps(row))
    return lines


def hold(paths: list[Path], out: Path) -> None:
    """Holds every question's rows of these snapshots against what one run of the command writes."""
    tables = ["--tables", ",".join(QUESTIONS), "--to", "jsonl"]
    command = [sys.executable, "-m", "pyosier", "run", *map(str, paths), *tables]
    done = subprocess.run([*command, "-q", "-o", str(out)], stderr=subprocess.PIPE, check=False)
    assert done.returncode in (0, 3), done.stderr
    written = {question: of_run(out, question) for question in QUESTIONS}
    names = {line["snapshot"] for line in map(json.loads, (out / "manifest.jsonl").open())}
    assert len(names) == len(paths)
    for path in paths:
        guest = pyosier.open(path)
        [name] = [name for name in names if str(path).endswith(name)]
        for question in QUESTIONS:
            lines = written[question].pop(name, [])
            rows = list(guest.ask(question))
            assert len(rows) == len(lines), (path, question)
            for row, line in zip(rows, lines, strict=True):
                same(row, json.loads(line))
    assert not any(written.values())


def test_rows_of_every_question_are_the_commands(tmp_path: Path) -> None:
    hold(sorted(SNAPSHOTS.glob("*.elf")), tmp_path / "out")


def test_rows_of_the_data_are_the_commands(tmp_path: Path) -> None:
    folder = os.environ.get("OSIER_EVERY")
    if not folder:
        pytest.skip("set OSIER_EVERY to a folder of snapshots, unpacked")
    wanted = ("memory.elf", "memory.savevm", "-rr-snp", ".dmp")
    every = (path for path in Path(folder).rglob("*") if path.name.endswith(wanted))
    found = sorted(path for path in every if path.is_file())
    assert found
    for nth, path in enumerate(found):
        hold([path], tmp_path / str(nth))


@pytest.mark.parametrize("question", ["threads", "maps", "pages", "files", "env", "mounts"])
def test_rows_of_one_process_are_the_commands(
    guest: pyosier.Guest, path: Path, question: str
) -> None:
    lines = run(question, path, "--pid", "1", "--format", "jsonl")
    assert lines
    compare(guest.ask(question, 1), lines)
    init = next(row for row in guest.processes() if row.pid == 1)
    assert list(guest.ask(question, init)) == list(guest.ask(question, pid=1))


def test_methods_ask_the_questions(guest: pyosier.Guest) -> None:
    asked = {
        "ps": guest.processes(),
        "handles": guest.handles(),
        "current": guest.current(),
        "threads": guest.threads(),
        "modules": guest.modules(),
        "maps": guest.maps(),
        "pages": guest.pages(),
        "files": guest.files(),
        "env": guest.env(),
        "log": guest.log(),
        "ps_wide": guest.wide(),
        "mounts": guest.mounts(),
        "sockets": guest.sockets(),
        "net": guest.net(),
        "scan": guest.scan(),
        "findings": guest.findings(),
    }
    assert set(asked) == set(QUESTIONS)
    for word, answer in asked.items():
        assert answer.question == word
        assert list(answer) == list(guest.ask(word))


def test_rows_are_values(guest: pyosier.Guest) -> None:
    rows = list(guest.processes())
    init = rows[1]
    assert init.pid == 1 and init.name == "sleep"
    assert repr(init).startswith("Process(pid=1, ppid=0, name='sleep', taskd=0x")
    assert init != rows[2] and init != 1 and init == list(guest.processes())[1]
    assert len(set(rows)) == len(rows)
    assert init.as_dict()["name"] == "sleep"
    # Only Windows has sessions.
    assert "pid" in pyosier.Process.fields and "session" in pyosier.Process.fields
    assert init.session is None and "session" not in init.as_dict()
    with pytest.raises(AttributeError):
        init.pid = 2  # type: ignore[misc]
    with pytest.raises(AttributeError):
        init.nothing  # type: ignore[attr-defined]
    with pytest.raises(TypeError):
        pyosier.Row(0, (), {}, {})  # type: ignore[call-arg]
    with pytest.raises(KeyError):
        init.raw("nothing")


def test_absences_say_why(guest: pyosier.Guest) -> None:
    idle = next(iter(guest.processes()))
    assert idle.exe is None
    why = idle.absent["exe"]
    assert why.why == "not-applicable" and why.because == str(why) and not why.loss
    assert why == idle.absent["cmdline"] and why != idle


def test_names_that_are_no_text(tmp_path: Path) -> None:
    # A name of a process in the snapshot, made one that no UTF-8 is.
    whole = (SNAPSHOTS / "deb12-6.1-amd64.elf").read_bytes()
    assert whole.count(b"spinner-0\0") >= 1
    odd = tmp_path / "odd.elf"
    odd.write_bytes(whole.replace(b"spinner-0\0", b"sp\xffnner-\xe9\0"))
    guest = pyosier.open(odd, cache=False)
    [row] = [row for row in guest.processes() if row.pid == 185]
    assert row.name == "sp\udcffnner-\udce9"
    assert row.raw("name") == b"sp\xffnner-\xe9"
    compare(guest.processes(), run("ps", odd, "--format", "jsonl"))
    assert "sp\\xffnner-\\xe9" in guest.threads(185)._repr_html_()
