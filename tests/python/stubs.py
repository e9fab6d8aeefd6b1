"""Writes the classes of rows into the stub of the extension module, of the tables' descriptions.

python tests/python/stubs.py
"""

from __future__ import annotations

from pathlib import Path

import pyosier

STUB = Path(__file__).parents[2] / "crates/osier-python/python/pyosier/_pyosier.pyi"
MARK = "# Made by tests/python/stubs.py of the tables' descriptions; not written by hand.\n"
TYPES = {
    "address": "int",
    "number": "int",
    "flag": "bool",
    "text": "str",
    "bytes": "str",
    "instant": "datetime",
}


def classes() -> list[type[pyosier.Row]]:
    """Every class of rows."""
    found = [getattr(pyosier, name) for name in pyosier.__all__]
    rows = [c for c in found if isinstance(c, type) and issubclass(c, pyosier.Row)]
    return [c for c in rows if c is not pyosier.Row]


def made() -> str:
    """The part of the stub that is made."""
    text = MARK
    for row in classes():
        text += f"\n@final\nclass {row.__name__}(Row):\n    fields: ClassVar[tuple[str, ...]]\n"
        for field in row.fields:
            kind = TYPES[vars(row)[field].kind]
            text += f"    @property\n    def {field}(self) -> {kind} | None: ...\n"
    return text


def whole() -> str:
    """The stub as it should be."""
    return STUB.read_text().split(MARK)[0] + made()


if __name__ == "__main__":
    STUB.write_text(whole())
