"""What messages call functions and arguments, and the line that checks the same again."""

import ast
import inspect
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from textwrap import shorten
from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import is_array
from minimtl.nn import Module


def named(name: str, item: Any) -> Iterator[tuple[str, Any]]:
    """The leaves of nested lists, tuples and dictionaries, each with the expression that reaches it."""
    if isinstance(item, Mapping):
        for key in item:
            yield from named(f"{name}[{key!r}]", item[key])
    elif isinstance(item, (list, tuple)):
        for i, part in enumerate(item):
            yield from named(f"{name}[{i}]", part)
    else:
        yield name, item


def rebuilt(item: Any, queue: Iterator[Any]) -> Any:
    """The nested item with its leaves replaced by those of the queue, in the order of `named`."""
    if isinstance(item, Mapping):
        parts = {key: rebuilt(part, queue) for key, part in item.items()}
        return parts if type(item) is dict else type(item)(parts)  # type: ignore[call-arg]
    if isinstance(item, (list, tuple)):
        members = [rebuilt(part, queue) for part in item]
        return type(item)(*members) if hasattr(item, "_fields") else type(item)(members)
    return next(queue)


def name_of(f: Any) -> str:
    """The name of a function, of what a partial binds, or of a module's class."""
    if hasattr(f, "func") and hasattr(f, "keywords"):
        options = [*map(short, f.args), *(f"{key}={short(value)}" for key, value in f.keywords.items())]
        return shorten(f"partial({', '.join([name_of(f.func), *options])})", 80, placeholder=" …")
    return str(getattr(f, "__name__", type(f).__name__))


def short(item: Any) -> str:
    """The repr of an item, on one line and no longer than a few words."""
    return shorten(repr(item), 30, placeholder=" …")


def signature_of(f: Any) -> inspect.Signature:
    """The parameters of f; of any number where Python does not know them."""
    try:
        return inspect.signature(f.forward if isinstance(f, Module) else f)
    except (TypeError, ValueError):
        return inspect.signature(lambda *args, **options: None)


def names_of(f: Any, n: int) -> list[str]:
    """The names of the first n parameters of f, x0, x1 … where it has none."""
    found = signature_of(f).parameters.values()
    plain = [p.name for p in found if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return [*plain, *(f"x{i}" for i in range(len(plain), n))][:n]


def place_of(f: Any) -> str:
    """The file and line where f is written, if it is written in Python."""
    f = getattr(f, "func", f)
    code = getattr(inspect.unwrap(type(f).forward if isinstance(f, Module) else f), "__code__", None)
    if code is None:
        return ""
    path = Path(code.co_filename)
    return f"{path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path}:{code.co_firstlineno}"


def listed(texts: Sequence[str], most: int = 6) -> str:
    """The first of the texts."""
    return ", ".join(texts[:most]) + (f", … ({len(texts)} in all)" if len(texts) > most else "")


class Verbatim(str):
    """A text whose repr is the text, so that the repr of a list of them is an expression."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def call_of(checker: str, f: Any, args: Sequence[Any], given: Sequence[Any], options: str) -> str:
    """The line that checks f at the arguments again; what to do instead where there is no such line, or none to read."""
    arguments = ", ".join(map(repr, rebuilt(list(args), map(Verbatim, map(text_of, given)))))
    line = f"testing.{checker}({', '.join(filter(None, [name_of(f), arguments, options]))})"
    plain = not isinstance(f, Module) and name_of(f).isidentifier()
    numbers = all(bool(np.isfinite(a).all()) for a in given if is_array(a))
    try:
        ast.parse(line)
    except SyntaxError:
        plain = False
    return line if plain and numbers and len(line) <= 400 else f"the same call, with {options or 'the same options'}"


def text_of(a: Any) -> str:
    """An expression that gives the argument again."""
    if isinstance(a, Tensor):
        a = a.array
    if not is_array(a):
        return repr(a.item() if isinstance(a, np.generic) else str(a) if isinstance(a, np.dtype) else a)
    dtype = "" if a.dtype in (np.int64, np.bool_) else f", dtype={str(a.dtype)!r}"
    return f"mm.tensor({a.tolist()}{dtype})" if a.size else f"mm.zeros({a.shape}, dtype={str(a.dtype)!r})"
