"""Writes docs/python-reference.md: every public name, of the docstrings and the stubs.

python tests/python/reference.py
"""

from __future__ import annotations

import ast
import inspect
from pathlib import Path
from types import ModuleType
from typing import Any

import pyosier
import pyosier.panda

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/python-reference.md"
PACKAGE = ROOT / "crates/osier-python/python/pyosier"
FIRST = """# Reference of pyosier

Every public name, with its docstring. This page is made by `tests/python/reference.py` of the module and its stubs, and a test holds
it to them. `docs/python.md` tells how they go together, and `docs/rows.md` what the fields of rows mean.
"""
ORDER = ["open", "snapshot", "Guest", "Snapshot", "Answer", "Row"]
"""What a reader looks for first."""

ALIASES = {
    "_Paths": "str | PathLike | Sequence",
    "_Texts": "str | Sequence[str]",
    "_Path": "str | PathLike",
    "_Pid": "int | Row",
    "_Progress": "Callable[[str, int, int], object] | Literal['tqdm']",
    "_object": "object",
}
"""The stubs' own names of types."""

Definition = ast.FunctionDef | ast.ClassDef


def definitions(file: str) -> dict[str, Definition]:
    """The functions and classes of a file, by name."""
    body = ast.parse((PACKAGE / file).read_text()).body
    return {node.name: node for node in body if isinstance(node, Definition)}


def signature(node: ast.FunctionDef, method: bool) -> str:
    """How it is called."""
    arguments = ast.unparse(node.args)
    if method:
        arguments = arguments.removeprefix("self").removeprefix("cls").removeprefix(", ")
        arguments = arguments.removeprefix("/, ").removesuffix("/").removesuffix(", ")
    returned = f" -> {ast.unparse(node.returns)}" if node.returns is not None else ""
    text = f"{node.name}({arguments}){returned}"
    for alias, meaning in ALIASES.items():
        text = text.replace(alias, meaning)
    return text


def doc(value: Any) -> str:
    """Its docstring, as Markdown."""
    text = inspect.getdoc(value) or ""
    return text.replace("``", "`").replace("::\n", ":\n")


def kinds(value: type[pyosier.Row]) -> str:
    """The fields of a class of rows, by what their values are."""
    fields = [f"`{name}` ({vars(value)[name].kind})" for name in value.fields]
    return "Fields: " + ", ".join(fields) + "."


def of_class(name: str, value: type, node: ast.ClassDef | None) -> list[str]:
    """A class with its members."""
    lines = [f"### {name}", "", doc(value), ""]
    if issubclass(value, pyosier.Row) and value is not pyosier.Row:
        return [f"### {name}", "", kinds(value), ""]
    for member in node.body if node is not None else []:
        if not isinstance(member, ast.FunctionDef) or member.name.startswith("_"):
            continue
        decorators = {ast.unparse(decorator) for decorator in member.decorator_list}
        if "overload" in decorators:
            continue
        told = doc(getattr(value, member.name)).replace("\n\n", "\n").replace("\n", " ")
        if "property" in decorators:
            returned = ast.unparse(member.returns) if member.returns is not None else ""
            lines.append(f"- `{member.name}: {returned}`: {told}")
        else:
            lines.append(f"- `{signature(member, True)}`: {told}")
    return [*lines, ""]


def section(module: ModuleType, files: list[str]) -> list[str]:
    """The functions, classes and exceptions of a module."""
    nodes: dict[str, Definition] = {}
    for file in files:
        nodes |= definitions(file)
    names = sorted(module.__all__, key=lambda name: (ORDER + [name]).index(name))
    functions: list[str] = []
    classes: list[str] = []
    rows: list[str] = []
    errors: list[str] = []
    for name in names:
        value, node = getattr(module, name), nodes.get(name)
        if not isinstance(value, type):
            if isinstance(node, ast.FunctionDef):
                functions += [f"### {name}", "", f"`{signature(node, False)}`", "", doc(value), ""]
        elif issubclass(value, BaseException):
            bases = ", ".join(base.__name__ for base in value.__bases__)
            errors += [f"- `{name}({bases})`: {doc(value).splitlines()[0]}"]
        else:
            made = of_class(name, value, node if isinstance(node, ast.ClassDef) else None)
            (rows if made[2].startswith("Fields") else classes).extend(made)
    lines = []
    for title, part in (
        ("Functions", functions),
        ("Classes", classes),
        ("Rows", rows),
        ("Exceptions", errors),
    ):
        if part:
            lines += [f"## {title} of {module.__name__}", "", *part]
            lines += [""] if lines[-1] else []
    return lines


def page() -> str:
    """The page as it should be."""
    lines = section(pyosier, ["_pyosier.pyi", "_errors.py"])
    lines += section(pyosier.panda, ["panda.py"])
    text = "\n".join([FIRST, *lines])
    while "\n\n\n" in text:
        text = text.replace("\n\n\n", "\n\n")
    return text.rstrip() + "\n"


if __name__ == "__main__":
    PAGE.write_text(page())
