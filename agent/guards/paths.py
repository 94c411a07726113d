"""Where a path leads, as far as the code shows it."""

from __future__ import annotations

import ast
import re

from agent.guards.source import MAX_DEPTH, Code, dotted_name, text_of

OPEN_TO_ALL = ("/tmp", "/var/tmp", "/local_disk0/tmp", "/dev/null", "/dev/stdout", "/dev/stderr")  # noqa: S108
VOLUMES = ("/Volumes", "/dbfs/tmp")

SAME = {"pathlib.Path", "pathlib.PurePath", "Path", "os.path.expanduser", "os.path.abspath", "os.path.realpath", "str"}
SAME |= {
    "os.path.join",
    "os.fspath",
    "os.listdir",
    "os.scandir",
    "os.walk",
    "glob.glob",
    "glob.iglob",
    "sorted",
    "list",
}
SAME |= {"os.path.expandvars", "os.path.dirname", "open"}
HOME = {"pathlib.Path.home", "Path.home"}
METHODS = {"expanduser", "resolve", "absolute", "glob", "rglob", "iterdir", "joinpath", "with_suffix", "with_name"}

SECRETS = re.compile(
    r"/etc/(?:shadow|passwd|sudoers)|\.ssh(?:/|$)|\bid_(?:rsa|ed25519|ecdsa)\b|\.databrickscfg|\.aws/|\.netrc|\.kube/"
    r"|\.git-credentials|/proc/[^/]+/environ|\.azure/|\.config/gcloud|(?:^|/)\.env$|/run/secrets|\.pgpass|\.bash_history"
)


def path_of(code: Code, node: ast.AST | None, depth: int = 0) -> str | None:
    """The path's text, or as much of its beginning as is known (then it ends with `…`); None when nothing is."""
    if node is None or depth > MAX_DEPTH:
        return None
    text = text_of(code, node)
    if text is not None:
        return text
    if isinstance(node, ast.Name):
        return path_of_name(code, node.id, depth + 1)
    if isinstance(node, ast.BinOp):
        return extend(path_of(code, node.left, depth + 1), path_of(code, node.right, depth + 1))
    if isinstance(node, ast.JoinedStr) and node.values:
        return extend(path_of(code, node.values[0], depth + 1), None)
    if isinstance(node, ast.FormattedValue):
        return path_of(code, node.value, depth + 1)
    if isinstance(node, ast.Attribute):
        return (
            extend(path_of(code, node.value, depth + 1), None) if node.attr in ("parent", "name", "parents") else None
        )
    if isinstance(node, (ast.Call, ast.Subscript)):
        return path_of_call(code, node, depth + 1)
    return None


def path_of_name(code: Code, name: str, depth: int) -> str | None:
    """Each name is followed once: a name that is built from itself leads nowhere new."""
    if name not in code.paths:
        code.paths[name] = None
        code.paths[name] = worst([path_of(code, value, depth) for value in code.assigned.get(name, [])])
    return code.paths[name]


def path_of_call(code: Code, node: ast.Call | ast.Subscript, depth: int) -> str | None:
    if isinstance(node, ast.Subscript):
        return "~" if dotted_name(code, node.value) == "os.environ" and text_of(code, node.slice) == "HOME" else None
    function = dotted_name(code, node.func) or ""
    if function in HOME or (function in ("os.getenv", "os.environ.get") and text_of(code, node.args[0]) == "HOME"):
        return "~"
    if function.startswith("tempfile."):
        return "/tmp/…"  # noqa: S108
    if function in SAME and node.args:
        parts = [path_of(code, argument, depth) for argument in node.args]
        return parts[0] if len(parts) == 1 else extend(parts[0], parts[1])
    if isinstance(node.func, ast.Attribute) and node.func.attr in METHODS:
        rest = path_of(code, node.args[0], depth) if node.args else None
        base = path_of(code, node.func.value, depth)
        return extend(base, rest) if node.func.attr in ("glob", "rglob", "joinpath") else base
    return None


def extend(base: str | None, rest: str | None) -> str | None:
    if base is None:
        return None
    if rest is not None and rest.startswith(("/", "~")):
        return rest
    return f"{base.rstrip('/') or '/'}/{rest or '…'}" if base else rest


def worst(paths: list[str | None]) -> str | None:
    """Of several values a name may have, one that leads outside, if there is one."""
    known = [path for path in paths if path is not None]
    return next((path for path in known if leads_outside(path)), known[0] if known else None)


def leads_outside(path: str, also: tuple[str, ...] = ()) -> bool:
    """Whether the path leaves the working folder for a place that is not everyone's."""
    folded = re.sub(r"/+", "/", path.replace("\\", "/"))
    if ".." in folded.split("/"):
        return True
    if not folded.startswith(("/", "~", "dbfs:", "file:")):
        return False
    return not any(folded == root or folded.startswith(root + "/") for root in (*OPEN_TO_ALL, *also))
