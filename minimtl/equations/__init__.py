"""The map from formulas to code: every equation has an id, the function that computes it, and a check that evaluates what is printed.

    from minimtl import equations

    equations.all()                          every equation, in reading order
    equations["mtl.weighted_loss"]           one: .latex, .function, .file, .line, .source, .status
    equations.check("nn.conv2d.vjp.w")       check it now, on fresh random numbers: the largest relative error
    equations.difference(latex, values, y)   a formula of your own, beside what your code gives

An equation is declared where its function is written, by `@equation` (`minimtl/equation.py`); its check, with the random numbers
and the wrong formulas that it must reject, stands in `checks/`. `lessons/EQUATIONS.md` shows them all.
"""

import sys
from collections.abc import Mapping
from types import ModuleType
from typing import Any

from minimtl import testing
from minimtl.equation import Equation, registry
from minimtl.equations import checks as _checks
from minimtl.equations.checking import Check
from minimtl.equations.checking import checks as _registered
from minimtl.equations.checking import difference as _difference
from minimtl.equations.formula import Formula
from minimtl.equations.tokens import UnreadableError


def all() -> list[Equation]:
    """Every equation: the documents' own first, then in the order of the house, a derivative behind its function."""
    return [registry[id] for id in _registered]


def check(id: str, trials: int = 10, seed: int = 0) -> float:
    """The largest relative difference between the formula and the function, on so many random draws."""
    return _registered[id].worst(trials, seed)


def difference(latex: str, values: Mapping[str, Any], result: Any, base: int = 1) -> float:
    """How far a formula, read literally, is from a result: max |a − b| over the largest |a|.

    values: symbol → number, array or function; indices count from `base`. "y_i = …" gives an array of the result's shape.

        equations.difference(r"y_i = \\frac{x_i}{1 + e^{-x_i}}", {"x": x}, swish(x))
    """
    pairs = Formula(latex, set(values), base).evaluate(values, result)
    return max(_difference(ours, theirs) for ours, theirs in pairs)


class _Map(ModuleType):
    """The module, which can be asked for an equation by its id."""

    def __getitem__(self, id: str) -> Equation:
        if id not in registry:
            raise KeyError(f"there is no equation {id!r}; equations.all() lists them")
        return registry[id]


sys.modules[__name__].__class__ = _Map
