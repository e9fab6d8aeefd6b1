"""Calls everything public with odd arguments. Only exceptions may come of it: no crash, no panic, no hang.

python tests/python/fuzz.py SNAPSHOT SEED ROUNDS, in an empty folder.
"""

from __future__ import annotations

import faulthandler
import inspect
import os
import random
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyosier
import pyosier.panda


class Odd:
    """An object whose every answer is an exception or nonsense."""

    def __init__(self, answer: object) -> None:
        """One that answers so."""
        self.answer = answer

    def _say(self) -> Any:
        if isinstance(self.answer, BaseException):
            raise self.answer
        return self.answer

    def __index__(self) -> Any:
        """As an integer."""
        return self._say()

    def __fspath__(self) -> Any:
        """As a path."""
        return self._say()

    def __len__(self) -> Any:
        """As a length."""
        return self._say()

    def __getitem__(self, index: object) -> Any:
        """As a sequence."""
        return self._say()

    def __iter__(self) -> Any:
        """As an iterable."""
        return self._say()

    @property
    def taskd(self) -> Any:
        """As a process."""
        return self._say()


def odd(draw: random.Random, known: list[Any]) -> Any:
    """An argument that nobody meant."""
    made: list[Callable[[], Any]] = [
        lambda: draw.choice([None, True, False, ..., NotImplemented, (), [], {}, set(), b"", ""]),
        lambda: draw.choice([0, 1, -1, 2**31, 2**32, 2**63, 2**64 - 1, 2**64, -(2**63), 10**40]),
        lambda: draw.getrandbits(draw.choice([8, 16, 48, 64])),
        lambda: draw.choice([0.0, -1.5, 1e308, float("nan"), float("inf"), 1j]),
        lambda: draw.choice(["ps", "maps", "task_struct", "init_task", "clock", "tqdm", "linux"]),
        lambda: draw.choice(["\0", "a\0b", "\udcff", "\ud800", "\u202e", "x" * 70000, "%s%n", "[", "?"]),
        lambda: draw.choice([b"\xff\0", bytearray(9), memoryview(b"abc"), range(3), iter([1])]),
        lambda: Odd(draw.choice([None, "x", -1, 2**70, [], ValueError("odd"), KeyError(1), b"\xff"])),
        lambda: draw.choice([int, print, len, pyosier, object(), type, Odd, Path("nothing.elf")]),
        lambda: [odd(draw, known) for _ in range(draw.randrange(3))],
        lambda: {"profile": odd(draw, known)},
        lambda: draw.choice(known),
        lambda: draw.choice(known),
    ]
    return draw.choice(made)()


WORDS = [
    "pid", "physical", "profile", "group", "profiles", "symbols", "os", "dtb", "registers", "ram_split",
    "internal", "parts", "cache", "shipped", "cache_bytes", "scratch_limit", "search", "tables", "time_limit",
    "memory_limit", "hash", "ask", "order", "golden", "ignore", "update", "requested_schema", "fmt", "nonsense",
    "text", "wide_text", "hex", "regex", "yara", "kernel", "rows", "wide", "to", "exe", "module", "range",
]  # fmt: skip
"""What is said by name. progress is not: what it is called with is no argument of a call."""

FINE = (Exception, KeyboardInterrupt)
"""What a call may raise. A panic of Rust's is neither."""


def parts(value: Any) -> list[tuple[str, Any]]:
    """Everything that can be called of a value, its operators among them."""
    found = []
    for name in dir(value):
        # Those are the interpreter's own.
        if name in ("__class__", "__reduce__", "__reduce_ex__", "__init_subclass__", "__subclasshook__"):
            continue
        try:
            part = getattr(value, name)
        except FINE:
            continue
        if callable(part):
            found.append((name, part))
    return found


def subjects(path: Path) -> list[Any]:
    """Modules, classes, and an object of every class that can be made."""
    guest = pyosier.open(path, cache=False)
    closed = pyosier.open(path, cache=False)
    answer = closed.processes()
    closed.close()
    run = pyosier.run([str(path)], tables="ps", cache=False)
    panda = pyosier.panda.Panda(guest)
    whole = [pyosier, guest, closed, answer, run, panda, panda.ffi, *panda.plugins.values()]
    for word in ("ps", "maps", "files", "log", "pages", "ps_wide"):
        asked = guest.ask(word)
        whole += [asked, iter(asked), next(iter(asked)), *asked.ends[:1]]
    found = guest.search(text="Linux version")
    whole += [found, iter(found), next(iter(found))]
    row = next(iter(guest.processes()))
    whole += [*row.absent.values()][:1]
    place = guest.symbol("init_task")
    task = guest.object("task_struct", place)
    whole += [task, guest.type("task_struct"), *guest.type("task_struct").members.values()][:40]
    translation = guest.translate(place)
    whole += [translation, translation.steps[0], guest.tree(), pyosier.snapshot(path, cache=False)]
    part = next(iter(pyosier.run([str(path)], tables="ps", cache=False)))
    whole += [part, part.tables["ps"]]
    # The folder is an empty one.
    dumped = guest.dump("core", next(one for one in guest.processes() if one.name == "spinner-0"))
    whole += [dumped, *dumped.lost[:1], pyosier.report(path, "page.html", cache=False)]
    difference = pyosier.diff(guest, guest, ask=["ps"])
    whole += [difference, pyosier.timeline([path], cache=False)]
    whole += [getattr(pyosier, name) for name in pyosier.__all__]
    whole += [getattr(pyosier.panda, name) for name in pyosier.panda.__all__]
    return whole


def main() -> None:
    """Calls, and says how many calls there were."""
    faulthandler.enable()
    path, seed, rounds = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    draw = random.Random(seed)
    known = subjects(path)
    calls = returned = 0
    for _ in range(rounds):
        for subject in known:
            for name, part in parts(subject):
                if inspect.isbuiltin(part) and part.__self__ is sys:
                    continue
                told = [odd(draw, known) for _ in range(draw.choice([0, 0, 1, 1, 1, 2, 3]))]
                named = {
                    word: odd(draw, known)
                    for word in draw.sample(WORDS, draw.choice([0, 0, 0, 1, 2]))
                }
                calls += 1
                # What crashes is the last line that was written.
                os.truncate(2, 0)
                os.lseek(2, 0, os.SEEK_SET)
                os.write(2, f"{type(subject).__name__} {name} {len(told)} {sorted(named)}\n".encode())
                try:
                    value = part(*told, **named)
                    repr(value)
                    returned += 1
                except FINE:
                    pass
    print(f"{calls} calls, {returned} returned")


if __name__ == "__main__":
    main()
