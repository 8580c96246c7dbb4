"""What is checked: a function of Tensors or a module, as a function of float64 leaves to float64 outputs.

A check calls it many times, at nearby points and with arrays laid out in other ways. Every call sees the same random numbers
of the default generator, and a module a fresh copy of its buffers, so that dropout and batch normalisation are functions too.
"""

import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array, is_array
from minimtl.equation import ids_of
from minimtl.grad_mode import enable_grad
from minimtl.nn import Module
from minimtl.nn.utils import put
from minimtl.random import random_numbers_repeated
from minimtl.testing.naming import call_of, listed, name_of, named, names_of, place_of, rebuilt

Wanted = int | str | Sequence[int | str] | None


@dataclass
class Subject:
    """A function of leaves. `arrays` are float64, named by `names`; `call` takes one Tensor for each and gives the outputs.

    `replay` makes of options the line that checks it again; `place`, `equation` and `note` are told with what is found.
    """

    name: str
    names: list[str]
    arrays: list[Array]
    call: Callable[[list[Tensor]], Any]
    replay: Callable[[str], str]
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
        with random_numbers_repeated(), enable_grad():
            found = dict(named("output", self.call(leaves)))
        for what, y in found.items():
            if not isinstance(y, Tensor):
                raise TypeError(f"gradcheck: {self.name} must return Tensors, {what} is {type(y).__name__}")
            if y.dtype.kind == "f" and y.dtype != np.float64:
                raise TypeError(f"gradcheck: {self.name} returns {y.dtype} for float64; a check needs the dtype kept")
        floats = {what: y for what, y in found.items() if y.dtype.kind == "f"}
        if not floats:
            raise TypeError(f"gradcheck: {self.name} returns no floating-point Tensor, so there is nothing to differentiate")
        return floats


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
            if isinstance(w, bool) or not any(w in keys and floating(a) for _, keys, a in flat):
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

    def came(self) -> str:
        """What the arguments are, for an error."""
        kinds = [f"{a.dtype} {a.shape}" if is_array(a) else type(a).__name__ for a in self.given]
        return listed(kinds) or "nothing"


def of_function(f: Callable[..., Any], args: Sequence[Any], wrt: Wanted) -> Subject:
    """f of its floating-point tensors, or of those that `wrt` names by position or name; the others are constants."""
    arguments = Arguments(f, args, wrt)
    if not any(arguments.chosen):
        raise TypeError(
            f"gradcheck: {name_of(f)} needs a floating-point Tensor to differentiate by, as mm.tensor(2.0); got {arguments.came()}"
        )
    by = "" if wrt is None else f"wrt={wrt!r}"
    return Subject(
        name=name_of(f),
        names=arguments.leaves(arguments.names),
        arrays=arguments.leaves(arguments.given),
        call=lambda leaves: f(*arguments.filled(leaves)),
        replay=lambda options: call_of("gradcheck", f, args, arguments.given, ", ".join(filter(None, [by, options]))),
        place=place_of(f),
        equation=", ".join(ids_of(f)),
        note=copied(arguments.cast),
    )


def of_module(module: Module, args: Sequence[Any]) -> Subject:
    """The module as a function of its inputs and of all its parameters, by their dotted names, in float64.

    Frozen parameters count too: their derivative must be right for the day on which they are trained.
    """
    arguments, double = Arguments(module, args), copy.deepcopy(module).double()
    inputs, parameters = arguments.leaves(arguments.names), dict(double.named_parameters())
    if not parameters and not inputs:
        raise TypeError(f"gradcheck_module: {name_of(module)} has no parameters, and got no floating-point Tensor")

    def call(leaves: list[Tensor]) -> Any:
        fresh = replaced(double, dict(zip(parameters, leaves[len(inputs) :], strict=True)))
        return fresh(*arguments.filled(leaves[: len(inputs)]))

    cast = arguments.cast + [name for name, p in module.named_parameters() if p.dtype != np.float64]
    return Subject(
        name=name_of(module),
        names=[*inputs, *parameters],
        arrays=[*arguments.leaves(arguments.given), *(p.array for p in parameters.values())],
        call=call,
        replay=partial(call_of, "gradcheck_module", module, args, arguments.given),
        place=place_of(module),
        note=copied(cast),
    )


def replaced(module: Module, tensors: Mapping[str, Tensor]) -> Module:
    """A copy of the module with tensors in the place of its parameters, by dotted name, so that gradients arrive at them."""
    fresh = copy.deepcopy(module)
    put(fresh, tensors)
    return fresh


def as_double(a: Any) -> Any:
    """A copy of the numbers of a tensor or an array, floating-point ones as float64; anything else as it is."""
    array = a.array if isinstance(a, Tensor) else a
    if not is_array(array):
        return a
    return array.astype(np.float64) if array.dtype.kind == "f" else array.copy()


def copied(names: Sequence[str]) -> str:
    """What a report says of arguments that were not float64."""
    return f"{listed(names, 3)}: copied to float64" if names else ""
