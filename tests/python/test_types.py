"""The stubs are the module's, and type checkers are content with them."""

from __future__ import annotations

import importlib.util
import inspect
import subprocess
import sys
from pathlib import Path

import pytest

import pyosier
import stubs

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "crates/osier-python/python/pyosier"


def test_the_stub_of_rows_is_that_of_the_tables() -> None:
    assert stubs.STUB.read_text() == stubs.whole(), "run python tests/python/stubs.py"


def run(*arguments: str) -> None:
    """Runs a tool, whose complaints fail the test."""
    done = subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, check=False, cwd=HERE
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_mypy_is_content() -> None:
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    run("mypy", "--no-incremental", str(PACKAGE), str(HERE))


def test_the_stubs_are_the_modules() -> None:
    if importlib.util.find_spec("mypy") is None:
        pytest.skip("mypy is not installed")
    run("mypy.stubtest", "pyosier", "--mypy-config-file", "mypy.ini", "--allowlist", "stubtest.txt", "--ignore-unused-allowlist")


def test_everything_public_is_documented() -> None:
    missing = []
    for name in pyosier.__all__:
        value = getattr(pyosier, name)
        if not isinstance(value, str) and not inspect.getdoc(value):
            missing.append(name)
        if isinstance(value, type) and not issubclass(value, BaseException):
            own = [part for part in vars(value) if not part.startswith("_")]
            parts = [part for part in own if part not in getattr(value, "fields", ()) and part != "fields"]
            missing += [f"{name}.{part}" for part in parts if not inspect.getdoc(getattr(value, part))]
    assert missing == []
