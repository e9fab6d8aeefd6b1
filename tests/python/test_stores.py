"""Snapshots in a store: right rows or an error that says why, and nobody's secrets."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pyosier
from bucket import KEY, NAMES, SECRET, Fault, Store, osier, rows, storing
from conftest import SNAPSHOTS

pytest.importorskip("moto", reason="moto, a server of S3, is not installed")


@pytest.fixture(scope="module")
def begun() -> Iterator[Store]:
    """A store: two snapshots, one of them twice, a broken one, and what is no snapshot."""
    [one, two] = [(SNAPSHOTS / f"{name}.elf").read_bytes() for name in NAMES]
    files: dict[str, Path | bytes] = {
        f"in/{NAMES[0]}.elf": one,
        f"in/deep er/{NAMES[1]}.elf": two,
        "in/broken.elf": two[:3000],
        "in/.hidden/x.elf": one,
        "in/notes.txt": b"no snapshot",
        "in/nothing": b"",
        "inside.elf": two,
    }
    with storing(files) as store:
        yield store


@pytest.fixture
def store(begun: Store, monkeypatch: pytest.MonkeyPatch) -> Store:
    """The store, and an environment that says where it is."""
    for name in [name for name in os.environ if name.startswith("AWS_")]:
        monkeypatch.delenv(name)
    for name, value in begun.environment().items():
        monkeypatch.setenv(name, value)
    begun.fault = lambda _: ""
    begun.requests.clear()
    return begun


def test_rows_are_those_of_the_file(store: Store, tmp_path: Path) -> None:
    address = f"s3://dumps/in/deep er/{NAMES[1]}.elf"
    done = osier("ps", address, cache=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == rows(NAMES[1])
    asked = len(store.requests)
    again = osier("ps", address.replace("s3://", "s3a://"), cache=tmp_path)
    assert again.stdout == done.stdout
    # Its blocks were kept: only the version is asked for.
    assert len(store.requests) == asked + 1
    guest = pyosier.open(address, cache=False)
    assert list(guest.maps()) == list(pyosier.open(SNAPSHOTS / f"{NAMES[1]}.elf", cache=False).maps())
    for kept in tmp_path.rglob("*"):
        if kept.is_file():
            content = kept.read_bytes()
            assert SECRET.encode() not in content
            assert KEY.encode() not in content


def test_a_run_takes_a_prefix(store: Store, tmp_path: Path) -> None:
    out, local = tmp_path / "out", tmp_path / "local"
    done = osier("run", "s3://dumps/in/", "--tables", "ps", "--to", "jsonl", "-o", out, cache=tmp_path)
    # One of them is broken.
    assert done.returncode == 3, done.stderr
    assert "broken.elf" in done.stderr
    assert "1 file in folders is no snapshot" in done.stderr
    lines = [json.loads(line) for line in (out / "manifest.jsonl").read_text().splitlines()]
    told = [(line["snapshot"], line["status"]) for line in lines]
    assert told == [
        ("broken.elf", "failed"),
        (f"deb11-5.10-amd64.elf", "complete"),
        (f"deep er/{NAMES[1]}.elf", "complete"),
    ]
    assert lines[1]["path"] == f"s3://dumps/in/{NAMES[0]}.elf"
    for file in out.rglob("*"):
        assert not file.is_file() or SECRET not in file.read_text()
    (tmp_path / "in" / "deep er").mkdir(parents=True)
    shutil.copy(SNAPSHOTS / f"{NAMES[0]}.elf", tmp_path / "in")
    shutil.copy(SNAPSHOTS / f"{NAMES[1]}.elf", tmp_path / "in" / "deep er")
    osier("run", tmp_path / "in", "--tables", "ps", "--to", "jsonl", "-o", local, cache=tmp_path)

    def without_id(text: str) -> list[object]:
        return [{**json.loads(line), "id": None} for line in text.splitlines()]

    table = Path("ps.jsonl")
    assert without_id((out / table).read_text()) == without_id((local / table).read_text())


def test_patterns_roots_and_parts(store: Store, tmp_path: Path) -> None:
    run = pyosier.run("s3://dumps/in/*.elf", tables="ps", cache=False)
    assert [part.manifest["snapshot"] for part in run] == ["broken.elf", f"{NAMES[0]}.elf"]
    run = pyosier.run("s3://dumps/in/deep er/", tables="ps", root="s3://dumps/", cache=False)
    assert [part.manifest["snapshot"] for part in run] == [f"in/deep er/{NAMES[1]}.elf"]
    out = tmp_path / "out"
    for part in ("1/2", "2/2"):
        arguments = ["run", "s3://dumps/in/", "--shard", part, "--tables", "ps", "-o", out]
        assert osier(*arguments, cache=tmp_path).returncode in (0, 3)
    merged = osier("merge", out, "-o", tmp_path / "merged", cache=tmp_path)
    assert "3 snapshots" in merged.stderr, merged.stderr
    with pytest.raises(pyosier.Error, match="no object lies below"):
        raise_first(pyosier.run("s3://dumps/none/", tables="ps", cache=False))
    done = osier("ps", "s3://dumps/in/", cache=tmp_path)
    assert done.returncode == 1
    assert "names no object" in done.stderr
    small = tmp_path / "small.elf"
    done = osier("distill", f"s3://dumps/in/{NAMES[0]}.elf", "--ask", "ps", "-o", small, cache=tmp_path)
    assert done.returncode == 0, done.stderr
    assert osier("ps", small, cache=tmp_path).stdout == rows(NAMES[0])


def raise_first(run: pyosier.Run) -> None:
    """Raises why the first snapshot could not be read."""
    for part in run:
        raise pyosier.Error(" ".join(part.manifest["why"]))


def every(count: int, fault: str) -> Fault:
    """This fault of one answer in so many."""
    return lambda number: fault if number % count == 1 else ""


@pytest.mark.parametrize(
    "fault", [every(3, "500"), every(2, "503"), every(3, "429"), every(4, "truncated")]
)
def test_what_passes_is_tried_again(store: Store, tmp_path: Path, fault: Fault) -> None:
    store.fault = fault
    done = osier("ps", f"s3://dumps/in/{NAMES[0]}.elf", "--no-cache", cache=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == rows(NAMES[0])
    out = tmp_path / "out"
    done = osier("run", "s3://dumps/in/", "--tables", "ps", "-o", out, cache=tmp_path)
    assert "3 snapshots: 2 complete, 1 failed" in done.stderr


def test_a_silent_server_is_asked_again(store: Store, tmp_path: Path) -> None:
    store.fault = lambda number: "silence" if number == 2 else ""
    done = osier("ps", f"s3://dumps/in/{NAMES[0]}.elf", "--no-cache", cache=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout == rows(NAMES[0])


def after(count: int, fault: str) -> Fault:
    """This fault of all answers but the first."""
    return lambda number: fault if number >= count else ""


@pytest.mark.parametrize(
    ("fault", "why"),
    [
        (after(2, "etag"), "changed while it was read"),
        (after(3, "403"), "403 Forbidden"),
        (after(2, "500"), "in 5 tries: 500"),
        (after(1, "404"), "404 Not Found"),
        (after(0, "500"), "in 5 tries: 500"),
        (after(2, "truncated"), "in 5 tries"),
        (after(0, "301"), "AWS_REGION"),
    ],
)
def test_what_does_not_pass_is_an_error(
    store: Store, tmp_path: Path, fault: Callable[[int], str], why: str
) -> None:
    address = f"s3://dumps/in/{NAMES[0]}.elf"
    store.fault = fault
    done = osier("ps", address, "--no-cache", cache=tmp_path)
    assert done.returncode == 1, done.stdout + done.stderr
    assert why in done.stderr, done.stderr
    assert address in done.stderr
    store.requests.clear()
    with pytest.raises(pyosier.Error, match=why):
        list(pyosier.open(address, cache=False).processes())


def test_an_object_that_is_replaced_is_read_again(store: Store, tmp_path: Path) -> None:
    [one, two] = [(SNAPSHOTS / f"{name}.elf").read_bytes() for name in NAMES]
    store.put("moving.elf", one)
    assert osier("ps", "s3://dumps/moving.elf", cache=tmp_path).stdout == rows(NAMES[0])
    store.put("moving.elf", two)
    assert osier("ps", "s3://dumps/moving.elf", cache=tmp_path).stdout == rows(NAMES[1])


def test_a_list_that_cannot_be_had_is_an_error(store: Store, tmp_path: Path) -> None:
    store.fault = after(0, "403")
    done = osier("run", "s3://dumps/in/", "-o", tmp_path / "out", cache=tmp_path)
    assert done.returncode == 1
    assert "s3://dumps/in/: failed: 403 Forbidden" in done.stderr, done.stderr


def test_many_objects_are_listed(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    # A page of a list has a thousand names, and of this server's so many.
    monkeypatch.setenv("MOTO_S3_DEFAULT_MAX_KEYS", "50")
    for number in range(60):
        store.put(f"many/{number:04}", b"no snapshot")
    store.put("many/z.elf", (SNAPSHOTS / f"{NAMES[0]}.elf").read_bytes())
    parts = list(pyosier.run("s3://dumps/many/", tables="ps", cache=False))
    assert [part.manifest["snapshot"] for part in parts] == ["z.elf"]
    assert sum("list-type=2" in request for request in store.requests) == 2


def test_without_credentials_an_error_says_so(
    store: Store, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    # No machine of a cloud answers there.
    monkeypatch.setenv("AWS_METADATA_ENDPOINT", "http://127.0.0.1:1")
    done = osier("ps", f"s3://dumps/in/{NAMES[0]}.elf", cache=tmp_path)
    assert done.returncode == 1
    assert f"s3://dumps/in/{NAMES[0]}.elf" in done.stderr
    monkeypatch.setenv("AWS_ALLOW_HTTP", "false")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEY)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", SECRET)
    done = osier("ps", f"s3://dumps/in/{NAMES[0]}.elf", cache=tmp_path)
    assert "without encryption" in done.stderr
