"""The table of operations. A row says how to draw arguments, what the operation means in plain NumPy, and PyTorch's name for it.

From a row follow the tests of values, derivatives, types of numbers, memory layouts and repeated arguments, here and against
PyTorch. `name[variant]` is another row for the operation `name`.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from operator import attrgetter
from typing import Any

import draws as D
import draws_layers as L
import kernel_cases as loops
import naive
import numpy as np

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import ops


@dataclass(frozen=True)
class Operation:
    """A row: `naive` takes the drawn arguments, `torch` is a path below torch (the name unless said) or a function of torch."""

    name: str
    function: Callable[..., Any]
    draws: Callable[[D.Draw], D.Call]
    naive: Callable[..., Any] | None
    torch: str | Callable[..., Any] | None = "."
    differentiable: bool = True
    constants: tuple[str, ...] = ()  # arguments given by keyword that have no derivative

    def __repr__(self) -> str:
        return self.name

    @property
    def operation(self) -> str:
        return self.name.partition("[")[0]

    def of_torch(self, torch: Any) -> Callable[..., Any]:
        if callable(self.torch):
            return partial(self.torch, torch)
        return attrgetter(self.operation if self.torch == "." else self.torch)(torch)


def mapped(f, item):
    """The item with f(array) for every array in it, also inside tuples and lists."""
    if isinstance(item, (tuple, list)):
        return type(item)([mapped(f, i) for i in item])
    return f(item) if isinstance(item, np.ndarray) else item


def prepared(row, call, make):
    """The call with make(array, wants_gradient) for every array."""
    args = mapped(lambda a: make(a, row.differentiable and a.dtype.kind == "f"), list(call.args))
    kwargs = {
        name: mapped(lambda a, name=name: make(a, row.differentiable and a.dtype.kind == "f" and name not in row.constants), v)
        for name, v in call.kwargs.items()
    }
    return args, kwargs


def compute(row, call, layout=lambda a: a, dtype=np.float64):
    """What the operation makes of the call: the outputs, and the tensors that require a gradient."""
    leaves = []

    def make(a, wants):
        a = layout(a.astype(dtype) if a.dtype.kind == "f" else a)
        t = mm.Tensor(a, requires_grad=wants)
        leaves.extend([t] * wants)
        return t

    args, kwargs = prepared(row, call, make)
    return outputs_of(row.function(*args, **kwargs)), leaves


def outputs_of(result):
    return list(result) if isinstance(result, (tuple, list)) else [result]


def cotangents(outputs, rng):
    """A random gradient for each output that can have one, its index first."""
    return {
        i: np.asarray(rng.uniform(0.5, 1.5, y.shape) * rng.choice([-1, 1], y.shape), dtype=y.dtype)
        for i, y in enumerate(outputs)
        if y.dtype.kind == "f" and y.requires_grad
    }


def pulled_back(outputs, leaves, vs):
    """Σ vᵀ ∂y/∂x for each leaf x: zeros where no output depends on it."""
    if not vs:
        return [np.zeros_like(x.array) for x in leaves]
    grads = mm.grad([outputs[i] for i in vs], leaves, [mm.Tensor(v) for v in vs.values()], allow_unused=True)
    return [np.zeros_like(x.array) if g is None else g.array for g, x in zip(grads, leaves)]


def check_derivative(row, call, rng, step=1e-3, tolerance=1e-6):
    """vᵀ (∂y/∂x u) by differences = (vᵀ ∂y/∂x) u by the maps, for a random v and a random u for each argument in turn.

    Differences with steps h and h/2 are joined so that the error of order h² cancels. The scale is the sum of the
    magnitudes of the terms, so that a derivative that is 0 by cancellation is not held to a relative error.
    """
    outputs, leaves = compute(row, call)
    vs = cotangents(outputs, rng)
    gradients = pulled_back(outputs, leaves, vs)
    for k, (x, g) in enumerate(zip(leaves, gradients)):
        u = rng.uniform(0.5, 1.5, x.shape) * rng.choice([-1, 1], x.shape)

        def slope(h, k=k, u=u):
            """Central difference of vᵀ y along u."""
            ends = []
            for sign in (1, -1):
                seen = iter(range(len(leaves)))
                moved = compute(row, call, lambda a: a if a.dtype.kind != "f" else a)[0] if False else None
                ends.append(moved)
            return ends

        by_difference = (4 * slope(step / 2) - slope(step)) / 3
        by_maps = float(np.sum(g * u))
        scale = max(1.0, float(np.sum(np.abs(g))))
        assert abs(by_difference - by_maps) <= tolerance * scale, f"argument {k}: {by_maps} by the maps, {by_difference} by differences"
