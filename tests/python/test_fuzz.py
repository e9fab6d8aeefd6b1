"""Odd arguments are refused by exceptions: nothing crashes the interpreter, panics, or hangs it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

FUZZ = Path(__file__).with_name("fuzz.py")
ROUNDS = int(os.environ.get("OSIER_FUZZ_ROUNDS", "1"))


@pytest.mark.parametrize("seed", [1, 2])
def test_odd_arguments_are_refused(seed: int, path: Path, tmp_path: Path) -> None:
    kept = tmp_path / "machine.elf"
    kept.write_bytes(path.read_bytes())
    folder = tmp_path / "empty"
    folder.mkdir()
    home = dict(os.environ, HOME=str(tmp_path), XDG_CACHE_HOME=str(tmp_path / "cache"))
    with (tmp_path / "last.txt").open("w+b") as last:
        done = subprocess.run(
            [sys.executable, str(FUZZ), str(kept), str(seed), str(ROUNDS)],
            stdout=subprocess.PIPE,
            stderr=last,
            cwd=folder,
            env=home,
            check=False,
            timeout=120 * ROUNDS,
        )
        last.seek(0)
        assert done.returncode == 0, last.read()
    calls, returned = (int(word) for word in done.stdout.split() if word.isdigit())
    assert calls > 1000 and returned > 50
    # The snapshot was read, and nothing else.
    assert kept.read_bytes() == path.read_bytes()
