"""Reads the arguments of task functions with Python's own parser. Runs nothing of them.

One JSON text per line comes in, one JSON answer per line goes out.
"""

import ast
import json
import sys

TYPES = {"int": "integer", "float": "number", "str": "string", "bool": "boolean"}


def kind_of(annotation):
    """The type of an argument; of int | None and Optional[int] it is int's."""
    if isinstance(annotation, ast.BinOp) and isinstance(annotation.op, ast.BitOr):
        sides = [s for s in (annotation.left, annotation.right) if not (isinstance(s, ast.Constant) and s.value is None)]
        annotation = sides[0] if len(sides) == 1 else None
    elif isinstance(annotation, ast.Subscript) and "Optional" in (getattr(annotation.value, "id", ""), getattr(annotation.value, "attr", "")):
        annotation = annotation.slice
    return TYPES.get(getattr(annotation, "id", ""))


def read(text):
    try:
        tree = ast.parse(text)
    except SyntaxError as e:
        return {"Error": e.msg, "Syntax": True, "At": [e.lineno or 1, e.offset or 1]}
    except (ValueError, RecursionError, MemoryError) as e:
        return {"Error": str(e) or type(e).__name__, "Syntax": True, "At": [1, 1]}
    name = ""
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Attribute)
            and node.func.attr == "main"
            and isinstance(node.func.value, ast.Name)
            and node.func.value.id == "tidemill"
            and node.args
            and isinstance(node.args[0], ast.Name)
        ):
            name = node.args[0].id
    if not name:
        return {"Function": ""}
    found = [n for n in tree.body if isinstance(n, (ast.FunctionDef, ast.AsyncFunctionDef)) and n.name == name]
    if not found:
        return {"Function": name, "Error": f"the file defines no function {name}", "At": [1, 1]}
    function = found[-1]
    a = function.args
    if isinstance(function, ast.AsyncFunctionDef) or a.vararg or a.kwarg or not (a.posonlyargs + a.args):
        what = "takes the run first, and then only named arguments"
        return {"Function": name, "Line": function.lineno, "Error": f"{name} {what}", "At": [function.lineno, function.col_offset + 1]}
    plain = a.posonlyargs + a.args
    defaults = [None] * (len(plain) - len(a.defaults)) + list(a.defaults)
    pairs = list(zip(plain, defaults))[1:] + list(zip(a.kwonlyargs, a.kw_defaults))
    out = []
    for arg, default in pairs:
        at = [arg.lineno, arg.col_offset + 1]
        kind = kind_of(arg.annotation)
        if kind is None:
            return {"Function": name, "Line": function.lineno, "Error": f"the argument {arg.arg} needs a type: int, float, str or bool", "At": at}
        if default is None:
            return {"Function": name, "Line": function.lineno, "Error": f"the argument {arg.arg} needs a default", "At": at}
        try:
            value = ast.literal_eval(default)
        except ValueError:
            return {"Function": name, "Line": function.lineno, "Error": f"the default of {arg.arg} must be a plain value", "At": at}
        out.append({"Name": arg.arg, "Type": kind, "Default": value, "At": at})
    return {"Function": name, "Line": function.lineno, "Args": out}


for line in sys.stdin:
    try:
        answer = read(json.loads(line))
    except Exception as e:  # noqa: BLE001 - one file must not end the reading of the others
        answer = {"Error": f"{type(e).__name__}: {e}", "At": [1, 1]}
    print(json.dumps(answer), flush=True)
