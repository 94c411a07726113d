"""Python that reaches out of its sandbox or destroys things. Feedback for the model; the sandbox decides."""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from agent.guards.forbidden import (
    DELETING_METHODS,
    DELETIONS,
    DYNAMIC,
    EVALUATORS,
    FAMILIES,
    FUNCTIONS,
    GUARDED_OWNERS,
    MODULES,
    MOVES,
    PROCESSES,
    READS,
    SINGLE_VARIABLE,
    TUNNELS,
    WRITES,
    WRITING_METHODS,
)
from agent.guards.paths import SECRETS, VOLUMES, leads_outside, path_of
from agent.guards.source import Code, dotted_name, read_code, read_tree, text_of
from agent.redaction.secrets import is_sensitive_key
from graph.program import Program
from graph.types import Rejection


@dataclass(frozen=True)
class Danger:
    what: str
    why: str
    line: int


def check_python(program: Program) -> Rejection | None:
    code = read_code(program)
    if code is None:
        return None
    danger = next(dangers(code), None)
    return rejection(danger) if danger else None


def rejection(danger: Danger) -> Rejection:
    message = f"Line {danger.line}: {danger.what} is not allowed: {danger.why}."
    details = {"matched": danger.what, "reason": danger.why, "lineno": danger.line}
    return Rejection("SAFETY_BLOCK", message, details)


def dangers(code: Code) -> Iterator[Danger]:
    for node in ast.walk(code.tree):
        for rule in RULES.get(type(node), ()):
            found = rule(code, node)
            if found is not None:
                yield Danger(*found, getattr(node, "lineno", 0))


Found = tuple[str, str] | None


def module_danger(name: str) -> Found:
    parts = name.split(".")
    for end in range(1, len(parts) + 1):
        if reason := MODULES.get(".".join(parts[:end])):
            return ".".join(parts[:end]), reason
    return None


def imports_module(code: Code, node: ast.Import) -> Found:
    return next((found for alias in node.names if (found := module_danger(alias.name))), None)


def imports_from(code: Code, node: ast.ImportFrom) -> Found:
    names = [f"{node.module or ''}.{alias.name}" for alias in node.names]
    return next((found for name in names if (found := module_danger(name) or function_danger(name))), None)


def function_danger(name: str) -> Found:
    if reason := FUNCTIONS.get(name):
        return name, reason
    return (name, PROCESSES) if FAMILIES.match(name) else None


def reaches(code: Code, node: ast.expr) -> Found:
    """A forbidden function or module, called or only named, under whatever alias."""
    name = dotted_name(code, node)
    if name is None or not isinstance(getattr(node, "ctx", ast.Load()), ast.Load):
        return None
    return function_danger(name) or (module_danger(name) if "." in name or isinstance(node, ast.Call) else None)


def tunnels(code: Code, node: ast.Attribute) -> Found:
    if node.attr not in TUNNELS:
        return None
    return node.attr, "it reaches around what code may use"


def secret_variables(code: Code, node: ast.Attribute) -> Found:
    """The environment as a whole. Single harmless variables may be read."""
    if dotted_name(code, node) not in ("os.environ", "os.environb"):
        return None
    return (
        None if id(node) in harmless_environ(code) else ("os.environ as a whole", "it holds what is not yours to see")
    )


def harmless_environ(code: Code) -> set[int]:
    """Uses of os.environ that take or set single variables, by the id of the attribute's node."""
    found: set[int] = set()
    for node in ast.walk(code.tree):
        if isinstance(node, ast.Subscript) or (isinstance(node, ast.Attribute) and node.attr in SINGLE_VARIABLE):
            found.add(id(node.value))
        elif isinstance(node, ast.Compare):
            found.update(id(side) for side in node.comparators)
    return found


def secret_variable(code: Code, node: ast.Call | ast.Subscript) -> Found:
    owner = dotted_name(code, node.func if isinstance(node, ast.Call) else node.value)
    if owner not in ("os.getenv", "os.environ.get", "os.environ.pop", "os.environ"):
        return None
    key = node.slice if isinstance(node, ast.Subscript) else (node.args[0] if node.args else None)
    name = text_of(code, key) if key is not None else None
    return (f"the variable {name}", "secrets stay with the host") if name and is_sensitive_key(name) else None


def evaluates(code: Code, node: ast.Call) -> Found:
    """Text run as code: known texts are read like the rest, unknown ones are refused."""
    name = dotted_name(code, node.func)
    if name not in EVALUATORS or not node.args:
        return None
    text = text_of(code, node.args[0])
    if text is None:
        return f"{name}()", DYNAMIC
    try:
        inner = read_tree(ast.parse(text.strip()))
    except (SyntaxError, ValueError):
        return None
    return next(((danger.what, danger.why) for danger in dangers(inner)), None)


def dynamic_name(code: Code, node: ast.Call) -> Found:
    name = dotted_name(code, node.func)
    if name in ("__import__", "importlib.import_module") and node.args and text_of(code, node.args[0]) is None:
        return f"{name}()", "which module it takes can't be seen; import it by name"
    if name == "getattr" and len(node.args) >= 2 and text_of(code, node.args[1]) is None:
        owner = dotted_name(code, node.args[0])
        return (f"getattr on {owner}", "what it takes can't be seen; name it") if owner in GUARDED_OWNERS else None
    return None


def deletes(code: Code, node: ast.Call) -> Found:
    name = dotted_name(code, node.func)
    if name in DELETIONS and node.args:
        path = path_of(code, node.args[0])
        unknown = path is None and name == "shutil.rmtree"
        if unknown or (path is not None and leads_outside(path)):
            return f"{name}({path or '?'})", "it deletes what is not in the working folder"
    if isinstance(node.func, ast.Attribute) and node.func.attr in DELETING_METHODS:
        path = path_of(code, node.func.value)
        if path is not None and leads_outside(path):
            return f"{node.func.attr} of {path}", "it deletes what is not in the working folder"
    return None


def writes(code: Code, node: ast.Call) -> Found:
    for target in written_paths(code, node):
        path = path_of(code, target)
        if path is not None and leads_outside(path, VOLUMES):
            return f"writing to {path}", "write into the working folder, by a relative path"
    return None


def written_paths(code: Code, node: ast.Call) -> list[ast.expr]:
    """The paths that a call writes to, as expressions."""
    name = dotted_name(code, node.func)
    if name in ("open", "io.open"):
        return node.args[:1] if writing_mode(code, node, 1) else []
    if name in WRITES:
        return node.args[:2] if name in MOVES else node.args[-1:]
    if not isinstance(node.func, ast.Attribute):
        return []
    if node.func.attr == "open":
        return [node.func.value] if writing_mode(code, node, 0) else []
    if node.func.attr not in WRITING_METHODS:
        return []
    return node.args[:1] if node.func.attr.startswith("to_") or node.func.attr == "savefig" else [node.func.value]


def writing_mode(code: Code, node: ast.Call, position: int) -> bool:
    given = [keyword.value for keyword in node.keywords if keyword.arg == "mode"] or node.args[position : position + 1]
    mode = text_of(code, given[0]) if given else "r"
    return mode is not None and any(letter in mode for letter in "wax+")


def reads_secrets(code: Code, node: ast.Call) -> Found:
    name = dotted_name(code, node.func) or ""
    method = node.func.attr if isinstance(node.func, ast.Attribute) else ""
    if name not in READS and method != "open" and not method.startswith("read_"):
        return None
    paths = [path_of(code, node)] if name in ("os.path.join", "pathlib.Path", "Path") else []
    paths += [path_of(code, argument) for argument in node.args]
    paths += [path_of(code, node.func.value)] if isinstance(node.func, ast.Attribute) else []
    found = next((path for path in paths if path and SECRETS.search(path)), None)
    return (f"reading {found}", "it holds what is not yours to see") if found else None


RULES: dict[type[ast.AST], tuple[Callable[[Code, Any], Found], ...]] = {
    ast.Import: (imports_module,),
    ast.ImportFrom: (imports_from,),
    ast.Attribute: (reaches, tunnels, secret_variables),
    ast.Name: (reaches,),
    ast.Subscript: (reaches, secret_variable),
    ast.Call: (reaches, evaluates, dynamic_name, deletes, writes, reads_secrets, secret_variable),
}
"""For each kind of node the rules that read it."""
