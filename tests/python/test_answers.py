"""What an answer is besides its rows: endings, columns, a table in a notebook; and what errors are."""

from __future__ import annotations

import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

import pyosier
from conftest import SNAPSHOTS


def test_an_answer_says_how_complete_it_is(guest: pyosier.Guest) -> None:
    answer = guest.processes()
    assert answer.complete and answer.losses == 0 and answer.count() == len(list(answer))
    assert [str(end) for end in answer.ends] == ["tasks closed", "pid table closed"]
    assert all(end.closed and end.how == "closed" for end in answer.ends)
    assert repr(answer).startswith("<Answer ps of ")


def test_an_answer_that_is_cut_short_says_where(tmp_path: Path) -> None:
    whole = (SNAPSHOTS / "deb12-6.1-amd64.elf").read_bytes()
    cut = tmp_path / "cut.elf"
    cut.write_bytes(whole[: len(whole) * 3 // 4])
    guest = pyosier.open(cut, cache=False)
    assert guest.doubts
    answer = guest.maps()
    assert not answer.complete and (answer.losses or not all(end.closed for end in answer.ends))
    html = answer._repr_html_()
    assert "lost" in html or "cannot" in html or "breaks" in html


def test_html_is_escaped_and_short(tmp_path: Path) -> None:
    whole = (SNAPSHOTS / "deb12-6.1-amd64.elf").read_bytes()
    odd = tmp_path / "odd.elf"
    odd.write_bytes(whole.replace(b"spinner-0\0", b"<script>&\0"))
    guest = pyosier.open(odd, cache=False)
    html = guest.threads(185)._repr_html_()
    assert "&lt;script&gt;&amp;" in html and "<script" not in html
    whole_html = guest.maps()._repr_html_()
    assert whole_html.count("<tr>") == 101
    assert f"{guest.maps().count()} rows, the first 100 of them shown" in whole_html


def test_errors_have_kinds(tmp_path: Path, path: Path) -> None:
    with pytest.raises(pyosier.NotFoundError) as missing:
        pyosier.open("no-such-file")
    assert missing.value.path == "no-such-file" and isinstance(missing.value, FileNotFoundError)
    zeros = tmp_path / "zeros.raw"
    zeros.write_bytes(bytes(4 << 20))
    with pytest.raises(pyosier.NoKernelError) as none:
        pyosier.open(zeros)
    assert none.value.path == str(zeros)
    damaged = tmp_path / "cut.elf"
    damaged.write_bytes(path.read_bytes()[:80])
    with pytest.raises(pyosier.DamagedError) as cut:
        pyosier.open(damaged)
    assert cut.value.offset is not None
    with pytest.raises(pyosier.ContradictionError):
        pyosier.open(path, os="windows")
    with pytest.raises(pyosier.UsageError):
        pyosier.open(path, os="plan9")
    with pytest.raises(TypeError, match="unexpected keyword"):
        pyosier.open(path, osname="linux")  # type: ignore[call-arg]
    every = [value for value in vars(pyosier).values() if isinstance(value, type)]
    errors = [kind for kind in every if issubclass(kind, BaseException)]
    assert len(errors) == 14 and all(issubclass(kind, pyosier.Error) for kind in errors)


def test_what_is_said_counts(path: Path, tmp_path: Path) -> None:
    said = pyosier.open(
        path, os="linux-64-debian:6.1.0", profiles=[tmp_path], symbols=str(tmp_path), cache=tmp_path
    )
    assert list(said.processes()) == list(pyosier.open(str(path)).processes())
    with pytest.raises(pyosier.SymbolsMissingError):
        pyosier.open(path, shipped=False, cache=False)
    snapshot = pyosier.snapshot(path)
    assert snapshot.format == "elf-core" and snapshot.runs and len(snapshot.cr3) == 2
    assert list(snapshot.attach().processes()) == list(said.processes())
    start, _ = snapshot.runs[0]
    assert len(snapshot.read(start, 16)) == 16


def test_closing(path: Path) -> None:
    with pyosier.open(path, cache=False) as guest:
        answer = guest.processes()
        rows = iter(answer)
        next(rows)
    assert guest.closed and "closed" in repr(guest)
    uses: list[Any] = [
        guest.processes,
        lambda: list(answer),
        lambda: next(rows),
        lambda: answer.ends,
        lambda: answer.__arrow_c_stream__(),
        lambda: answer.__arrow_c_schema__(),
        guest.__enter__,
        lambda: answer._repr_html_(),
        lambda: guest.read(0, 1),
        lambda: guest.symbol("init_task"),
        lambda: guest.banner,
    ]
    for use in uses:
        with pytest.raises(pyosier.ClosedError):
            use()
    guest.close()
    snapshot = pyosier.snapshot(path)
    snapshot.close()
    for use in (snapshot.attach, snapshot.__enter__):
        with pytest.raises(pyosier.ClosedError):
            use()


def test_memory(guest: pyosier.Guest) -> None:
    banner = guest.symbol("linux_banner")
    assert guest.read(banner, 20).startswith(b"Linux version 6.1.0")
    to = guest.translate(banner)
    assert to.va == banner and to.page_size in (4096, 2 << 20) and to.steps[0].level == 5
    assert guest.read(to.pa, 20, physical=True) == guest.read(banner, 20)
    with pytest.raises(pyosier.FaultError) as fault:
        guest.read(0x10, 1)
    assert fault.value.cause == "not-present" and fault.value.va == 0x10
    assert fault.value.level is not None and fault.value.pa is not None or fault.value.entry == 0
    with pytest.raises(pyosier.FaultError) as far:
        guest.translate(0x8000_0000_0000_0000)
    assert far.value.cause == "non-canonical"
    # A length that nobody could set aside.
    with pytest.raises(pyosier.FaultError):
        guest.read(banner, 1 << 60)
    with pytest.raises(pyosier.UnknownNameError):
        guest.symbol("no_such_symbol")
    [maps] = [row for row in guest.maps(185) if row.kind == "stack"]
    assert maps.base is not None
    with pytest.raises(pyosier.NoProcessError):
        guest.read(0, 1, pid=4_000_000)
    with pytest.raises(pyosier.NoProcessError):
        guest.read(0, 1, pid=2)
    for wrong in ("1", -1, 1.5, object(), 1 << 70):
        with pytest.raises((TypeError, OverflowError)):
            guest.maps(wrong)  # type: ignore[arg-type]
    # A row that names no process has no rows, and the answer says so.
    with pytest.raises(pyosier.UsageError):
        guest.ask("ps", 1)
    with pytest.raises(pyosier.UsageError):
        guest.ask("nothing")


def test_threads_share_a_guest(guest: pyosier.Guest) -> None:
    def everything() -> list[object]:
        return [list(guest.ask(word)) for word in ("ps", "threads", "maps", "modules", "current")]

    alone = everything()
    with ThreadPoolExecutor(8) as pool:
        for one in pool.map(lambda _: everything(), range(8)):
            assert one == alone
    # One iterator is one thread's at a time; it never gives a row twice.
    rows = iter(guest.maps())
    taken: list[Any] = []

    def take() -> None:
        while True:
            try:
                taken.append(next(rows))
            except StopIteration:
                return
            except RuntimeError:
                continue

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(taken) == guest.maps().count()


FORKING = """
import os, signal, sys, threading
import pyosier
guest = pyosier.open(sys.argv[1], cache=False)
count = guest.maps().count()
over = threading.Event()
def walk():
    while not over.is_set():
        guest.maps().count()
threads = [threading.Thread(target=walk) for _ in range(3)]
for thread in threads:
    thread.start()
ended = []
for _ in range(60):
    child = os.fork()
    if child == 0:
        # It was forked from among threads that walk, and has none of them.
        signal.alarm(20)
        os._exit(0 if guest.maps().count() == count else 1)
    ended.append(os.waitpid(child, 0)[1])
over.set()
for thread in threads:
    thread.join()
print(ended.count(0))
"""


def test_a_process_that_is_forked_while_threads_walk_walks(path: Path) -> None:
    forking = [sys.executable, "-W", "ignore", "-c", FORKING, str(path)]
    done = subprocess.run(forking, capture_output=True, text=True, check=True, timeout=300)
    assert done.stdout == "60\n"


ENDLESS = """
import signal, sys, time
import pyosier
guest = pyosier.open(sys.argv[1], cache=False)
work = compile(sys.argv[2], "work", "exec")
print("ready", flush=True)
try:
    while True:
        exec(work)
except KeyboardInterrupt:
    print("stopped", flush=True)
"""


@pytest.mark.parametrize(
    "work",
    [
        "guest.pages().count()",
        "guest.maps().__arrow_c_stream__()",
        "list(guest.scan())",
        # An expression that is looked for everywhere takes long and finds nothing.
        "guest.search(regex='(?:[a-z][0-9]){40}Q')",
        "pyosier.report(sys.argv[1], '/dev/null', cache=False)",
        "pyosier.distill(sys.argv[1], sys.argv[3] + '/small.elf', cache=False)",
        "pyosier.check(sys.argv[1], sys.argv[3], update=True, cache=False)",
    ],
)
def test_an_interrupt_stops_a_walk(path: Path, tmp_path: Path, work: str) -> None:
    least = 9.0
    # A busy machine may let one wait for other reasons, but not each time.
    for _ in range(6):
        running = subprocess.Popen(
            [sys.executable, "-c", ENDLESS, str(path), work, str(tmp_path)],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert running.stdout is not None
        assert running.stdout.readline() == "ready\n"
        time.sleep(0.1)
        begun = time.perf_counter()
        running.send_signal(signal.SIGINT)
        assert running.stdout.readline() == "stopped\n"
        least = min(least, time.perf_counter() - begun)
        assert running.wait(20) == 0
        if least < 0.2:
            return
    raise AssertionError(f"{work} went on for {least:.2f} s")


def test_the_command_is_in_the_wheel(path: Path) -> None:
    run = [sys.executable, "-m", "pyosier"]
    version = subprocess.run([*run, "--version"], capture_output=True, text=True, check=True)
    assert version.stdout == f"osier {pyosier.__version__}\n"
    script = Path(sys.executable).with_name("osier")
    if script.exists():
        run = [str(script)]
    tree = subprocess.run(
        [*run, "ps", "--tree", str(path)], capture_output=True, text=True, check=True
    )
    assert "spinner-0" in tree.stdout
    wrong = subprocess.run([*run, "nothing"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2
