"""What pyosier costs, as docs/python.md has it: importing, rows, columns, and threads.

python tests/python/measure.py SNAPSHOT [FLOOR]

FLOOR is the program `doors` of the benches, which says what the same costs in Rust.
"""

from __future__ import annotations

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pyosier

HERE = Path(__file__).parent
RUNS = 21
"""Interpreters that are started."""


def cost(what: Callable[[], object], runs: int = 300) -> float:
    """The least CPU milliseconds of several runs, after one that does not count."""
    what()
    times = []
    for _ in range(runs):
        begun = time.process_time()
        what()
        times.append(time.process_time() - begun)
    return min(times) * 1000


def line(what: str, *values: str) -> None:
    """A line of the table."""
    print(f"| {what} | {' | '.join(values)} |", flush=True)


def started(code: str) -> float:
    """The median CPU milliseconds of an interpreter that runs this."""
    times = []
    for _ in range(RUNS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-s", "-c", code], check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        times.append(spent * 1000)
    return statistics.median(times)


def elapsed(begin: Callable[[], Callable[[], object]]) -> float:
    """Wall seconds of eight that begin at once, until the last is waited for."""
    begun = time.perf_counter()
    for wait in [begin() for _ in range(8)]:
        wait()
    return time.perf_counter() - begun


REPEATS = 5
"""Times that threads and processes take turns."""


def scaling(what: Callable[[], object], rounds: int) -> tuple[float, float, float]:
    """Wall seconds of eight times these rounds: in one thread, in eight, and in eight processes that share nothing.

    What else runs on the machine takes from the one thread another part than from the eight; from eight
    processes it takes the same as from eight threads. They take turns, and of each the least counts.
    """

    def work() -> None:
        for _ in range(rounds):
            what()

    def alone() -> Callable[[], object]:
        work()
        return lambda: None

    def thread() -> Callable[[], object]:
        begun = threading.Thread(target=work)
        begun.start()
        return begun.join

    def process() -> Callable[[], object]:
        child = os.fork()
        if child == 0:
            work()
            os._exit(0)
        return lambda: os.waitpid(child, 0)

    work()
    turns = [[elapsed(begin) for begin in (alone, thread, process)] for _ in range(REPEATS)]
    one, threads, processes = (min(turn[way] for turn in turns) for way in range(3))
    return one, threads, processes


MILLION = """
import json, os, sys, time
import polars, pyosier

def status(word):
    lines = open("/proc/self/status").read().splitlines()
    [kib] = [line.split()[1] for line in lines if line.startswith(word)]
    return int(kib) * 1024

polars.DataFrame({"a": [1]})
guest = pyosier.open(sys.argv[1], cache=False)
guest.processes().count()
answer = guest.maps()
before = status("VmRSS")
begun, spent = time.perf_counter(), time.process_time()
frame = polars.DataFrame(answer)
wall, cpu = time.perf_counter() - begun, time.process_time() - spent
print(json.dumps([frame.height, wall, cpu, frame.estimated_size(), status("VmHWM") - before]))
"""


def main() -> None:
    """Measures everything."""
    path = sys.argv[1]
    free = getattr(sys, "_is_gil_enabled", lambda: True)() is False
    print(f"CPython {sys.version.split()[0]}{', free-threaded' if free else ''}")
    print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors\n")
    line("what", "measured", "beside")
    print("|---|--:|--:|")
    bare, imported = started("pass"), started("import pyosier")
    line("`import pyosier`, CPU ms", f"{imported - bare:.1f} more", f"{bare:.1f} bare")
    guest = pyosier.open(path, cache=False)
    floor: dict[str, float] = {}
    if len(sys.argv) > 2:
        said = subprocess.run([sys.argv[2], path], capture_output=True, text=True, check=True)
        floor = json.loads(said.stdout)
    rows = guest.processes().count()
    walked, listed = cost(lambda: guest.processes().count()), cost(lambda: list(guest.processes()))
    tabled = cost(lambda: guest.processes().__arrow_c_stream__())
    beside = f"{floor['list']:.3f} in Rust" if floor else ""
    line(f"{rows} processes walked, CPU ms", f"{walked:.3f}", beside)
    line("the same, each row an object", f"{listed:.3f}", f"{(listed - walked) / rows * 1000:.2f} µs a row")
    beside = f"{floor['arrow']:.3f} in Rust" if floor else ""
    line("the same as Arrow", f"{tabled:.3f}", beside)
    with tempfile.TemporaryDirectory() as folder:
        crowd = Path(folder) / "crowd.elf"
        subprocess.run([sys.executable, HERE / "crowd.py", crowd, "1000", "290"], check=True)
        done = subprocess.run([sys.executable, "-c", MILLION, crowd], capture_output=True, text=True)
        if done.returncode == 0:
            height, wall, cpu, size, peak = json.loads(done.stdout)
            line(
                f"{height:,} mappings to polars, seconds",
                f"{wall:.2f} ({cpu:.2f} of CPU)",
                f"{peak / size:.2f} times the table's {size / 1e6:.0f} MB",
            )
        else:
            line("mappings to polars", "not measured", done.stderr.splitlines()[-1])
    for name, what, rounds in (
        ("walk all mappings", lambda: guest.maps().count(), 60),
        ("all mappings as Arrow", lambda: guest.maps().__arrow_c_stream__(), 45),
        ("all mappings as rows", lambda: list(guest.maps()), 9),
    ):
        alone, together, apart = scaling(what, rounds)
        of_processes = f"{apart / together:.2f} of eight processes"
        line(f"eight threads: {name}", f"{alone / together:.2f} times one", of_processes)


if __name__ == "__main__":
    main()
