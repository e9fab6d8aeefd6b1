"""The tutorial notebook runs from its first cell to its last, and shows what it says it shows."""

from __future__ import annotations

import importlib.util
from typing import Any

import pytest

from conftest import ROOT

NOTEBOOK = ROOT / "docs/tutorial.ipynb"


def shown(cell: Any) -> str:
    """Everything that a cell showed."""
    texts = []
    for output in cell.outputs:
        if output.output_type == "stream":
            texts.append(output.text)
        else:
            texts += [str(value) for value in output.data.values()]
    return "\n".join(texts)


def test_every_cell_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Any) -> None:
    for module in ("nbclient", "ipykernel", "polars"):
        if importlib.util.find_spec(module) is None:
            pytest.skip(f"{module} is not installed")
    import nbformat
    from nbclient import NotebookClient

    # Nothing of whoever runs the tests is looked at or left behind.
    for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR"):
        monkeypatch.setenv(name, str(tmp_path / name))
    read: Any = nbformat.read
    notebook = read(NOTEBOOK, as_version=4)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    assert all(not cell.outputs and cell.execution_count is None for cell in code), "clear its outputs"
    resources = {"metadata": {"path": str(NOTEBOOK.parent)}}
    NotebookClient(notebook, timeout=120, kernel_name="python3", resources=resources).execute()
    printed = [shown(cell) for cell in code]
    assert "Linux version 6.1.0" in printed[1]
    assert "<svg" in printed[2] and "spinner-0" in printed[2]
    assert "<table" in printed[3] and "every walk closed" in printed[3]
    assert "has no exe: " in printed[4]
    assert "mappings can be written and run" in printed[5]
    assert "/data/dir/mapped.bin" in printed[6]
    assert "not-present" in printed[10]
    assert "event-born" in printed[11] and "<svg" in printed[12]
    assert printed[13].count("deb1") >= 14
