"""The examples of the documentation run."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

import reference
from conftest import ROOT


def blocks(path: Path) -> list[str]:
    """The examples in Python."""
    return re.findall(r"^```python\n(.*?)^```$", path.read_text(), re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("name", ["docs/python.md", "README.md"])
def test_examples_run(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    needed = ["polars", "duckdb", "pyarrow"]
    for module in needed:
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    monkeypatch.chdir(ROOT)
    examples = blocks(ROOT / name)
    assert examples
    # One after another, as a reader would type them.
    names: dict[str, object] = {}
    for example in examples:
        exec(compile(example, name, "exec"), names)


def test_the_reference_is_that_of_the_module() -> None:
    assert reference.PAGE.read_text() == reference.page(), "run python tests/python/reference.py"
