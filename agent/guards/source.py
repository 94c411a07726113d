"""A delegation's code as the guards read it: the tree, what its names stand for, and what its texts are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache

from graph.program import Program

MAX_DEPTH = 12


@dataclass(frozen=True)
class Code:
    """`imported` maps a name to the dotted thing it stands for, `assigned` to the expressions it was given;
    `bound` holds every name that the code gives a meaning, `paths` remembers where names lead."""

    tree: ast.Module
    imported: dict[str, str] = field(default_factory=dict)
    assigned: dict[str, list[ast.expr]] = field(default_factory=dict)
    bound: set[str] = field(default_factory=set)
    paths: dict[str, str | None] = field(default_factory=dict)


@lru_cache(maxsize=16)
def read_code(program: Program) -> Code | None:
    """None when the text is no blob or no Python: other guards say so."""
    return read_tree(program.tree) if isinstance(program.tree, ast.Module) else None


def read_tree(tree: ast.Module) -> Code:
    code = Code(tree)
    for node in ast.walk(tree):
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            code.imported.update(imports(node))
        for name, value in assignments(node):
            code.assigned.setdefault(name, []).append(value)
        if isinstance(node, ast.arg):
            code.bound.add(node.arg)
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            code.bound.add(node.id)
    return code


def imports(node: ast.Import | ast.ImportFrom) -> Iterator[tuple[str, str]]:
    for alias in node.names:
        if isinstance(node, ast.ImportFrom):
            yield alias.asname or alias.name, f"{node.module or ''}.{alias.name}"
        elif alias.asname:
            yield alias.asname, alias.name
        else:
            yield alias.name.split(".")[0], alias.name.split(".")[0]


def assignments(node: ast.AST) -> Iterator[tuple[str, ast.expr]]:
    if isinstance(node, ast.Assign):
        yield from ((target.id, node.value) for target in node.targets if isinstance(target, ast.Name))
    elif isinstance(node, (ast.AnnAssign, ast.NamedExpr)) and isinstance(node.target, ast.Name) and node.value:
        yield node.target.id, node.value
    elif isinstance(node, (ast.For, ast.comprehension)) and isinstance(node.target, ast.Name):
        yield from ((node.target.id, item) for item in items(node.iter))
    elif isinstance(node, ast.withitem) and isinstance(node.optional_vars, ast.Name):
        yield node.optional_vars.id, node.context_expr


def items(node: ast.expr) -> list[ast.expr]:
    """What a loop's variable is given: the elements of a literal, else the iterable itself stands for them."""
    return list(node.elts) if isinstance(node, (ast.List, ast.Tuple, ast.Set)) else [node]


def dotted_name(code: Code, node: ast.AST, depth: int = 0) -> str | None:
    """What the expression stands for (`os.system`), through imports, aliases, getattr and __import__, or None."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(node, ast.Name):
        return name_target(code, node.id, depth)
    if isinstance(node, ast.Attribute):
        owner = dotted_name(code, node.value, depth + 1)
        return f"{owner}.{node.attr}" if owner else None
    if isinstance(node, ast.Call):
        return call_target(code, node, depth)
    return subscript_target(code, node, depth) if isinstance(node, ast.Subscript) else None


def name_target(code: Code, name: str, depth: int) -> str | None:
    if name in code.imported:
        return code.imported[name]
    given = code.assigned.get(name, [])
    if len(given) == 1:
        return dotted_name(code, given[0], depth + 1)
    return None if name in code.bound else name


def call_target(code: Code, node: ast.Call, depth: int) -> str | None:
    function = dotted_name(code, node.func, depth + 1)
    first = node.args[0] if node.args else None
    if function in ("__import__", "builtins.__import__", "importlib.import_module") and first is not None:
        return text_of(code, first)
    if function in ("getattr", "builtins.getattr") and len(node.args) >= 2:
        owner, name = dotted_name(code, node.args[0], depth + 1), text_of(code, node.args[1])
        return f"{owner}.{name}" if owner and name else None
    return None


def subscript_target(code: Code, node: ast.Subscript, depth: int) -> str | None:
    """`sys.modules["os"]` is os, `vars(os)["system"]` and `os.__dict__["system"]` are os.system."""
    key = text_of(code, node.slice)
    if key is None:
        return None
    if isinstance(node.value, ast.Call) and dotted_name(code, node.value.func) == "vars" and node.value.args:
        return f"{dotted_name(code, node.value.args[0], depth + 1)}.{key}"
    owner = dotted_name(code, node.value, depth + 1)
    if owner == "sys.modules":
        return key
    return f"{owner.removesuffix('.__dict__')}.{key}" if owner and owner.endswith(".__dict__") else None


def text_of(code: Code, node: ast.AST, depth: int = 0) -> str | None:
    """The text an expression is known to give: literals, their sums and joins, names given one such value."""
    if depth > MAX_DEPTH:
        return None
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else None
    if isinstance(node, ast.Name):
        given = code.assigned.get(node.id, [])
        return text_of(code, given[0], depth + 1) if len(given) == 1 else None
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add):
        return join([text_of(code, node.left, depth + 1), text_of(code, node.right, depth + 1)])
    if isinstance(node, ast.JoinedStr):
        return join([text_of(code, part, depth + 1) for part in node.values])
    if isinstance(node, ast.FormattedValue):
        return text_of(code, node.value, depth + 1)
    return text_of_call(code, node, depth) if isinstance(node, ast.Call) else None


def text_of_call(code: Code, node: ast.Call, depth: int) -> str | None:
    """`"".join(["a", "b"])`, and a method that leaves the text's meaning as it is."""
    if not isinstance(node.func, ast.Attribute):
        return None
    receiver = text_of(code, node.func.value, depth + 1)
    if node.func.attr == "join" and receiver is not None and len(node.args) == 1:
        parts = [text_of(code, item, depth + 1) for item in items(node.args[0])]
        return receiver.join(part for part in parts if part is not None) if all(p is not None for p in parts) else None
    return receiver if node.func.attr in ("strip", "lower", "upper", "format", "rstrip", "lstrip") else None


def join(parts: list[str | None]) -> str | None:
    known = [part for part in parts if part is not None]
    return "".join(known) if len(known) == len(parts) else None
