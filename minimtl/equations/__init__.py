"""The map from formulas to code: every equation has an id, the function that computes it, and a check that evaluates what is printed.

    from minimtl import equations

    equations.all()                          every equation, in reading order
    equations["mtl.weighted_loss"]           one: .latex, .function, .file, .line, .source, .status
    equations.check("nn.conv2d.vjp.w")       check it now, on fresh random numbers: the largest relative error
    equations.controls("nn.conv2d.vjp.w")    the wrong formulas that the check must notice, and whether it does
    equations.difference(latex, values, y)   a formula of your own, beside what your code gives

An equation is declared where its function is written, by `@equation` (`minimtl/equation.py`); its check, with the random numbers
and the wrong formulas that it must reject, stands in `checks/`. `lessons/EQUATIONS.md` shows them all, lesson 4 goes through it.
For functions of your own: `equation` above the function, then `operation` (a function of tensors and its derivatives), `evaluated`
(anything with a formula that can be evaluated) or `holds` (a property). What LaTeX is read: `minimtl/equations/reader.py`.
"""

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from difflib import get_close_matches
from math import inf
from types import ModuleType
from typing import Any
from unicodedata import normalize

from minimtl import testing
from minimtl.equation import Equation, equation, registry
from minimtl.equation import statuses as _statuses
from minimtl.equations import checks as _loaded
from minimtl.equations.checking import Check, evaluated, holds, operation
from minimtl.equations.checking import checks as _checks
from minimtl.equations.checking import difference as _difference
from minimtl.equations.formula import Formula
from minimtl.equations.tokens import UnreadableError


def all() -> list[Equation]:
    """Every equation: the documents' own first, then in the order of the house, a derivative behind its function."""
    return [registry[id] for id in _checks]


def check(id: str, trials: int = 10, seed: int = 0) -> float:
    """The largest relative difference between the formula and the function, on so many random draws."""
    return _checks[_known(id)].worst(trials, seed)


def controls(id: str) -> dict[str, bool]:
    """The wrong formulas, or functions, that the check of an equation has: whether each is noticed."""
    check = _checks[_known(id)]
    return {name: check.rejects(control) for name, control in check.controls().items()}


@contextmanager
def new() -> Iterator[None]:
    """What is declared in this context is forgotten behind it: for trying out equations of one's own, more than once."""
    before = set(registry)
    try:
        yield
    finally:
        for id in set(registry) - before:
            for kept in (registry, _checks, _statuses):
                kept.pop(id, None)


def _known(id: str) -> str:
    """The id, if it is one."""
    if id not in registry:
        near = get_close_matches(id, registry, 3, 0.5)
        raise KeyError(f"there is no equation {id!r}" + f"; did you mean {', '.join(near)}?" * bool(near))
    if id not in _checks:
        raise KeyError(f"the equation {id!r} has no check yet: see `evaluated` and `operation`")
    return id


def difference(latex: str, values: Mapping[str, Any], result: Any, base: int = 1) -> float:
    """How far a formula, read literally, is from a result: max |a − b| over the largest |a|.

    values: symbol → number, array or function; indices count from `base`. "y_i = …" gives an array of the result's shape.

        equations.difference(r"y_i = \\frac{x_i}{1 + e^{-x_i}}", {"x": x}, swish(x))
    """
    formula = Formula(latex, {normalize("NFKC", name) for name in values}, base)
    spare = sorted({normalize("NFKC", name) for name in values} - formula.used)
    if spare:
        raise UnreadableError(f"{spare[0]} is given, and does not occur in the formula")
    pairs = formula.evaluate(values, result)
    return max((_difference(ours, theirs) for ours, theirs in pairs), default=inf)


class _Map(ModuleType):
    """The module, which can be asked for an equation by its id."""

    def __getitem__(self, id: str) -> Equation:
        return registry[_known(id)]


sys.modules[__name__].__class__ = _Map
