"""What is checked: a function of Tensors or a module, as a function of float64 leaves to float64 outputs.

A check calls it many times, at nearby points and with arrays laid out in other ways. Every call sees the same random numbers
of the default generator, and a module a fresh copy of its buffers, so that dropout and batch normalisation are functions too.
"""

import copy
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from minimtl import random
from minimtl.autograd import Tensor
from minimtl.backend import Array, is_array
from minimtl.nn import Module

Wanted = int | str | Sequence[int | str] | None


@dataclass
class Subject:
    """A function of leaves. `arrays` are float64, named by `names`; `call` takes one Tensor for each and gives the outputs."""

    name: str
    names: list[str]
    arrays: list[Array]
    call: Callable[[list[Tensor]], Any]
    replay: str
    place: str = ""
    equation: str = ""
    note: str = ""

    def leaves(self, arrays: Sequence[Array] | None = None) -> list[Tensor]:
        """New leaves of the arrays given, or of copies of its own."""
        return [Tensor(a, requires_grad=True) for a in (self.copies() if arrays is None else arrays)]

    def copies(self) -> list[Array]:
        """The arrays, to be changed freely."""
        return [a.copy() for a in self.arrays]

    def outputs(self, leaves: list[Tensor]) -> dict[str, Tensor]:
        """The floating-point outputs, by name. Others, such as indices, have no gradient."""
        with random_numbers_repeated():
            found = dict(named("output", self.call(leaves)))
        for what, y in found.items():
            if not isinstance(y, Tensor):
                raise TypeError(f"gradcheck: {self.name} must return Tensors, {what} is {type(y).__name__}")
        floating = {what: y for what, y in found.items() if y.dtype.kind == "f"}
        if not floating:
            raise TypeError(f"gradcheck: {self.name} returns no floating-point Tensor, so there is nothing to differentiate")
        return floating


@contextmanager
def random_numbers_repeated() -> Iterator[None]:
    """What draws from the default generator in this context leaves it as it was, so that the next one sees the same numbers."""
    bits: Any = random.default_generator.rng.bit_generator
    before = bits.state
    try:
        yield
    finally:
        bits.state = before


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
        return {key: rebuilt(part, queue) for key, part in item.items()}
    if isinstance(item, (list, tuple)):
        parts = [rebuilt(part, queue) for part in item]
        return type(item)(*parts) if hasattr(item, "_fields") else type(item)(parts)
    return next(queue)


def floating(a: Any) -> bool:
    """Whether an argument is a tensor or an array of floating-point numbers."""
    array = a.array if isinstance(a, Tensor) else a
    return bool(is_array(array) and array.dtype.kind == "f")


class Arguments:
    """The arguments of a call: nested lists, whose leaves are differentiated by where `chosen`, and constants elsewhere."""

    def __init__(self, f: Any, args: Sequence[Any], wrt: Wanted = None) -> None:
        self.args, parameters = list(args), names_of(f, len(args))
        flat = [(name, (i, p, name), a) for i, (p, arg) in enumerate(zip(parameters, args)) for name, a in named(p, arg)]
        self.names = [name for name, *_ in flat]
        self.given = [as_double(a) for *_, a in flat]
        self.cast = [name for name, _, a in flat if floating(a) and a.dtype != np.float64]
        self.chosen = [floating(a) for *_, a in flat]
        if wrt is None:
            return
        wanted = [wrt] if isinstance(wrt, (int, str)) else list(wrt)
        for w in wanted:
            if not any(w in keys and floating(a) for _, keys, a in flat):
                raise ValueError(
                    f"gradcheck: wrt must be among {self.leaves(self.names)} of {name_of(f)}, or positions, got {w!r}"
                )
        self.chosen = [yes and any(w in keys for w in wanted) for yes, (_, keys, _) in zip(self.chosen, flat)]

    def leaves(self, items: Sequence[Any]) -> list[Any]:
        """Those of the items, one for each argument, that are differentiated by."""
        return [item for item, yes in zip(items, self.chosen, strict=True) if yes]

    def filled(self, leaves: Sequence[Tensor]) -> Any:
        """The arguments with these leaves."""
        queue = iter(leaves)
        constants = (Tensor(a) if is_array(a) else a for a in self.given)
        return rebuilt(self.args, iter([next(queue) if yes else a for yes, a in zip(self.chosen, constants, strict=True)]))

    def text(self) -> str:
        """An expression for them; without numbers where they are too many to read."""
        texts = [text_of(a) for a in self.given]
        if sum(map(len, texts)) > 300:
            texts = [f"<{a.dtype} {a.shape}>" if is_array(a) else repr(a) for a in self.given]
        return ", ".join(map(repr, rebuilt(self.args, map(Verbatim, texts))))


def of_function(f: Callable[..., Any], args: Sequence[Any], wrt: Wanted) -> Subject:
    """f of its floating-point tensors, or of those that `wrt` names by position or name; the others are constants."""
    arguments = Arguments(f, args, wrt)
    if not any(arguments.chosen):
        raise TypeError(f"gradcheck: {name_of(f)} was given no floating-point Tensor to differentiate by")
    return Subject(
        name=name_of(f),
        names=arguments.leaves(arguments.names),
        arrays=arguments.leaves(arguments.given),
        call=lambda leaves: f(*arguments.filled(leaves)),
        replay=f"gradcheck({name_of(f)}, {arguments.text()}" + ("" if wrt is None else f", wrt={wrt!r}"),
        place=place_of(f),
        equation=getattr(inspect.unwrap(f), "equation", ""),
        note=copied(arguments.cast),
    )


def of_module(module: Module, args: Sequence[Any]) -> Subject:
    """The module as a function of its inputs and of all its parameters, by their dotted names, in float64.

    Frozen parameters count too: their derivative must be right for the day on which they are trained.
    """
    arguments, double = Arguments(module, args), copy.deepcopy(module).double()
    inputs, parameters = arguments.leaves(arguments.names), dict(double.named_parameters())
    if not parameters and not inputs:
        raise TypeError(f"gradcheck_module: {name_of(module)} has no parameters and was given no floating-point Tensor")

    def call(leaves: list[Tensor]) -> Any:
        fresh = replaced(double, dict(zip(parameters, leaves[len(inputs) :], strict=True)))
        return fresh(*arguments.filled(leaves[: len(inputs)]))

    cast = arguments.cast + [name for name, p in module.named_parameters() if p.dtype != np.float64]
    return Subject(
        name=name_of(module),
        names=[*inputs, *parameters],
        arrays=[*arguments.leaves(arguments.given), *(p.array for p in parameters.values())],
        call=call,
        replay=f"gradcheck_module(module, {arguments.text()}",
        place=place_of(type(module).forward),
        note=copied(cast),
    )


def replaced(module: Module, tensors: Mapping[str, Tensor]) -> Module:
    """A copy of the module with tensors in the place of its parameters, by dotted name, so that gradients arrive at them."""
    fresh = copy.deepcopy(module)
    modules = dict(fresh.named_modules(remove_duplicate=False))
    own = {p: tensors[name] for name, p in module.named_parameters() if name in tensors}
    for name, p in module.named_parameters(remove_duplicate=False):
        if p in own:
            path, _, last = name.rpartition(".")
            vars(modules[path])[last] = own[p]
    return fresh


def as_double(a: Any) -> Any:
    """A copy of the numbers of a tensor or an array, floating-point ones as float64; anything else as it is."""
    array = a.array if isinstance(a, Tensor) else a
    if not is_array(array):
        return a
    return array.astype(np.float64) if array.dtype.kind == "f" else array.copy()


# What messages call it


def name_of(f: Any) -> str:
    """The name of a function, of what a partial binds, or of a module's class."""
    if hasattr(f, "func") and hasattr(f, "keywords"):
        options = [*(repr(a) for a in f.args), *(f"{key}={value!r}" for key, value in f.keywords.items())]
        return f"partial({', '.join([name_of(f.func), *options])})"
    return str(getattr(f, "__name__", type(f).__name__))


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


def copied(names: Sequence[str]) -> str:
    """What a report says of arguments that were not float64."""
    return f"{', '.join(names[:3])}{', …' if len(names) > 3 else ''}: copied to float64" if names else ""


def place_of(f: Any) -> str:
    """The file and line where f is written, if it is written in Python."""
    code = getattr(inspect.unwrap(getattr(f, "func", f)), "__code__", None)
    if code is None:
        return ""
    path = Path(code.co_filename)
    with_root = path.is_relative_to(Path.cwd())
    return f"{path.relative_to(Path.cwd()) if with_root else path}:{code.co_firstlineno}"


class Verbatim(str):
    """A text whose repr is the text, so that the repr of a list of them is an expression."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def text_of(a: Any) -> str:
    """An expression that gives the argument again."""
    if not is_array(a):
        return repr(a)
    dtype = "" if a.dtype in (np.int64, np.bool_) else f", dtype={str(a.dtype)!r}"
    return f"mm.tensor({a.tolist()}{dtype})" if a.size else f"mm.zeros({a.shape}, dtype={str(a.dtype)!r})"
