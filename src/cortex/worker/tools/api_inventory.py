"""The public names of a Python repository with their signatures, read by ast and never imported.

Public is what `__all__` lists, else what has no underscore in front. Knows nothing of Markdown or
of reports.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any

from cortex.worker.tools.source_files import SourceFile, SourceTree

__all__ = ["Module", "Name", "read_inventory"]

_DEFAULT_CHARACTERS = 60


@dataclass(frozen=True, slots=True)
class Name:
    """One public class, function or method; `name` is dotted inside its module."""

    name: str
    kind: str
    signature: str
    line: int
    is_documented: bool


@dataclass(slots=True)
class Module:
    """One file. `problem` is set, and `names` empty, where it could not be read."""

    module: str
    file: str
    is_documented: bool = False
    names: list[Name] = field(default_factory=list)
    problem: str | None = None
    line: int = 0
    is_empty: bool = False

    def row(self) -> dict[str, Any]:
        """The module for the JSON artifact."""
        return {
            "module": self.module,
            "file": self.file,
            "documented": self.is_documented,
            "problem": self.problem,
            "names": [
                {
                    "name": name.name,
                    "kind": name.kind,
                    "signature": name.signature,
                    "line": name.line,
                    "documented": name.is_documented,
                }
                for name in self.names
            ],
        }


def read_inventory(tree: SourceTree) -> list[Module]:
    """The public modules of the tree's own code (not tests, examples or vendored code)."""
    files = [
        file for file in tree.of("python", places=("source",)) if not file.path.endswith(".pyi")
    ]
    return [_read(tree, file) for file in files if _is_public(file.path)]


def _is_public(path: str) -> bool:
    parts = path.removesuffix(".py").split("/")
    return not any(part.startswith("_") and not part.startswith("__") for part in parts) and (
        parts[-1] not in ("setup", "conftest")
    )


def _module_name(path: str) -> str:
    parts = path.removesuffix(".py").split("/")
    if parts[0] in ("src", "lib") and len(parts) > 1:
        parts = parts[1:]
    if parts[-1] == "__init__" and len(parts) > 1:
        parts = parts[:-1]
    return ".".join(parts)


def _read(tree: SourceTree, file: SourceFile) -> Module:
    module = Module(_module_name(file.path), file.path)
    try:
        parsed = ast.parse((tree.root / file.path).read_bytes(), filename=file.path)
        module.is_documented = ast.get_docstring(parsed) is not None
        module.is_empty = not parsed.body
        module.names = _public_names(parsed)
    except SyntaxError as problem:
        module.problem, module.line = f"does not parse: {problem.msg}", problem.lineno or 0
    except (ValueError, RecursionError, MemoryError, OSError) as problem:
        module.problem = f"could not be read: {type(problem).__name__}"
    return module


def _public_names(parsed: ast.Module) -> list[Name]:
    listed = _listed(parsed)
    found: list[Name] = []
    for node in parsed.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) and (
            node.name in listed if listed is not None else not node.name.startswith("_")
        ):
            found += _names(node)
    return found


def _listed(parsed: ast.Module) -> set[str] | None:
    """The texts of `__all__`; None where there is none that can be read."""
    for node in parsed.body:
        targets = node.targets if isinstance(node, ast.Assign) else []
        if any(isinstance(target, ast.Name) and target.id == "__all__" for target in targets):
            try:
                return set(ast.literal_eval(node.value))  # type: ignore[attr-defined]
            except (ValueError, TypeError, SyntaxError):
                return None
    return None


def _names(node: ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef) -> list[Name]:
    documented = ast.get_docstring(node) is not None
    if not isinstance(node, ast.ClassDef):
        return [Name(node.name, "function", _signature(node), node.lineno, documented)]
    bases = ", ".join(ast.unparse(base) for base in node.bases)
    title = f"class {node.name}({bases})" if bases else f"class {node.name}"
    found = [Name(node.name, "class", title, node.lineno, documented)]
    for inner in node.body:
        if not isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if inner.name.startswith("_") or _is_setter(inner) or _is_overload(inner):
            continue
        found.append(
            Name(
                f"{node.name}.{inner.name}",
                "method",
                _signature(inner),
                inner.lineno,
                ast.get_docstring(inner) is not None or _is_override(inner),
            )
        )
    return found


def _signature(node: ast.FunctionDef | ast.AsyncFunctionDef) -> str:
    start = "async def" if isinstance(node, ast.AsyncFunctionDef) else "def"
    returns = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    return f"{start} {node.name}({_short(node.args)}){returns}"


def _short(arguments: ast.arguments) -> str:
    """The arguments as written; a long default is left as `…`."""
    for defaults in (arguments.defaults, arguments.kw_defaults):
        for place, default in enumerate(defaults):
            if default is not None and len(ast.unparse(default)) > _DEFAULT_CHARACTERS:
                defaults[place] = ast.Constant(...)
    return ast.unparse(arguments)


def _decorators(node: ast.FunctionDef | ast.AsyncFunctionDef) -> list[str]:
    return [ast.unparse(decorator) for decorator in node.decorator_list]


def _is_setter(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(text.endswith((".setter", ".deleter")) for text in _decorators(node))


def _is_overload(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    return any(text.rsplit(".", 1)[-1] == "overload" for text in _decorators(node))


def _is_override(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """What overrides is documented where it overrides from (PEP 698)."""
    return any(text.rsplit(".", 1)[-1] == "override" for text in _decorators(node))
