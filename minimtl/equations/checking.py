"""The check of an equation: the printed formula, read and evaluated on random numbers, against the function that the engine calls.

    @evaluated("mtl.weighted_loss", wrong=[(r"\\alpha_t L_t", r"L_t")])
    def weighted_loss(d):
        …
        return {"α": α, "L": L}, mtl.weighted_loss(…)          values for the symbols, and what the function makes of them

`operation` writes such checks for an operation on tensors and for all of its derivatives. What cannot be evaluated carries a
property (`holds`). Every check has controls: variants of the formula, or of the function, that it must reject.
"""

import inspect
import math
import re
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import wraps
from types import SimpleNamespace
from typing import Any

import numpy as np

from minimtl.autograd import Tensor, grad
from minimtl.equation import Equation, registry, statuses
from minimtl.equations.draw import Draw
from minimtl.equations.formula import Formula
from minimtl.equations.tokens import UnreadableError, tokens
from minimtl.random import random_numbers_repeated

TOLERANCE = 1e-9
MARGIN = 100  # a wrong formula must be off by so many tolerances
SMALL = 1e-6
TRIES = 40  # draws in which a wrong formula must show that it is; the tests make the same ones

Values = dict[str, Any]
Drawn = tuple[Values, Any]
Replacement = tuple[str, str]

checks: dict[str, "Check"] = {}


class Check(ABC):
    """How an equation is checked: `error(d)` is how far formula and function are apart for the numbers of d."""

    status = "property"

    def __init__(self, id: str, written: Callable[..., Any], wrong: Sequence[Any], tolerance: float) -> None:
        if id in checks:
            raise ValueError(f"check: {id} has a check already")
        if not wrong:
            raise ValueError(f"check: {id} has no control")
        self.id, self.written, self.tolerance = id, written, tolerance
        self.origin: Any = inspect.unwrap(written)  # what is written in a file of checks
        self.wrong: list[Any] = list(wrong)
        checks[id] = self
        statuses[id] = self.status

    @property
    def equation(self) -> Equation:
        """The equation with this id."""
        if self.id not in registry:
            raise KeyError(f"there is no equation {self.id!r}")
        return registry[self.id]

    @property
    def section(self) -> str:
        """What the file where the check is written begins with: "Optimisers"."""
        return re.split("[:.]", sys.modules[self.origin.__module__].__doc__ or "")[0]

    @property
    def file(self) -> str:
        """The file where it is written, from the folder that holds the package."""
        return f"{self.origin.__module__.replace('.', '/')}.py"

    @property
    def line(self) -> int:
        """The line where what it draws is written."""
        return int(self.origin.__code__.co_firstlineno)

    @abstractmethod
    def controls(self) -> dict[str, Any]:
        """What each control is called, and what it puts in the place of the formula or of the function."""

    @abstractmethod
    def error(self, d: Draw, instead: Any = None) -> float:
        """The largest difference, relative to the largest number; ∞ where nothing comes out."""

    def difference_at(self, seed: int) -> str:
        """Where formula and function differ most in the draw with this seed."""
        return ""

    def rejects(self, instead: Any) -> bool:
        """Whether a wrong formula, or function, is noticed by MARGIN tolerances."""
        return any(self.error(Draw(seed), instead) >= MARGIN * self.tolerance for seed in range(TRIES))

    def worst(self, trials: int, seed: int = 0) -> float:
        """The largest error of some draws."""
        return max(self.error(Draw(seed + i)) for i in range(trials))


class Evaluated(Check):
    """A check that evaluates the printed LaTeX."""

    status = "evaluated"

    def __init__(self, id: str, written: Callable[[Draw], Drawn], wrong: Sequence[Replacement], tolerance: float) -> None:
        super().__init__(id, written, wrong, tolerance)
        self.formulas: dict[str, Formula] = {}

    def formula(self, latex: str = "") -> Formula:
        """The formula of the equation, or another in its place."""
        e = self.equation
        latex = latex or e.latex
        if latex not in self.formulas:
            self.formulas[latex] = Formula(latex, e.names, e.base, e.outside)
        return self.formulas[latex]

    def controls(self) -> dict[str, str]:
        """The variants listed, and the formula with each of its signs turned round."""
        latex, found = self.equation.latex, {}
        for old, new in self.wrong:
            if latex.count(old) != 1:
                raise ValueError(f"{self.id}: the control replaces {old}, which stands {latex.count(old)} times in {latex}")
            found[f"{old} → {new}"] = latex.replace(old, new)
        for t in tokens(latex):
            if t.text in "+-":
                turned = latex[: t.place] + {"+": "-", "-": "+"}[t.text] + latex[t.place + 1 :]
                found[turned] = turned
        return found

    def drawn(self, d: Draw) -> Drawn:
        """The values for the symbols, sizes among them, and what the function makes of them."""
        with random_numbers_repeated():
            values, result = self.written(d)
        return {**values, **sizes(self.equation, values, result)}, result

    def difference_at(self, seed: int) -> str:
        values, result = self.drawn(Draw(seed))
        pairs = self.formula().evaluate(values, result)
        ours, theirs = max(pairs, key=lambda pair: difference(*pair))
        if len(ours) != len(theirs):
            return f"the formula gives {len(ours)} numbers, the function {len(theirs)}"
        i = int(np.argmax(np.abs(np.subtract(ours, theirs))))
        given = ", ".join(f"{name} = {v}" for name, v in values.items() if isinstance(v, (int, float)) or np.size(v) <= 12)
        return f"number {i + 1} of {len(ours)}: the formula gives {ours[i]:.9g}, the function {theirs[i]:.9g}\nat {given}"

    def error(self, d: Draw, instead: Any = None) -> float:
        values, result = self.drawn(d)
        try:
            formula = self.formula(instead) if instead else self.formula()
            pairs = formula.evaluate(values, result)
        except (ArithmeticError, ValueError):  # UnreadableError and OutsideError among them
            if instead is None:
                raise
            return math.inf
        return max((difference(ours, theirs) for ours, theirs in pairs), default=math.inf)


class Holds(Check):
    """A check of a property: `written(d, f)` is how far the function f is from having it."""

    def controls(self) -> dict[str, Callable[..., Any]]:
        return {f.__name__: f for f in self.wrong}

    def error(self, d: Draw, instead: Any = None) -> float:
        try:
            with random_numbers_repeated():
                return float(self.written(d, instead or self.equation.function))
        except (ArithmeticError, AssertionError):
            return math.inf


def evaluated(id: str, wrong: Sequence[Replacement], tolerance: float = TOLERANCE) -> Callable[[Any], Any]:
    """The function below draws values for the symbols and returns them with the function's result.

    wrong: (old, new) replacements in the LaTeX, each of which must be noticed, beside every sign turned round.
    """

    def written(draw: Callable[[Draw], Drawn]) -> Callable[[Draw], Drawn]:
        Evaluated(id, draw, wrong, tolerance)
        return draw

    return written


def holds(id: str, wrong: Sequence[Callable[..., Any]], tolerance: float = TOLERANCE) -> Callable[[Any], Any]:
    """The function below takes a draw and f, and returns how far f is from what must hold; `wrong` are functions that are not."""

    def written(property: Callable[..., float]) -> Callable[..., float]:
        Holds(id, property, wrong, tolerance)
        return property

    return written


def operation(
    id: str,
    draw: Callable[[Draw], Values],
    f: Callable[[Any], Tensor],
    wrong: Mapping[str, Sequence[Replacement]],
    tolerance: float = TOLERANCE,
    constants: Sequence[str] = (),
) -> None:
    """The checks of an operation and of each derivative of it, the ids that begin with "id.vjp".

    f takes the values as attributes, arrays as Tensors, and returns a Tensor; constants are arrays without a derivative.
    What a derivative is by stands on the left of its formula; the gradient that comes in is drawn as g and G. wrong: end of
    the id → as in `evaluated`.
    """

    @wraps(draw)
    def forward(d: Draw) -> Drawn:
        values = draw(d)
        return values, f(SimpleNamespace(**leaves(values, constants))).array

    ids = {e[len(id) :] for e in registry if e == id or e.startswith(f"{id}.vjp")}
    if set(wrong) != ids:
        raise ValueError(f"operation: {id} has the equations {sorted(ids)}, the controls are for {sorted(wrong)}")
    for rest in wrong:
        e = f"{id}{rest}"
        drawn = backward(e, draw, f, constants) if rest else forward
        Evaluated(e, drawn, wrong[rest], tolerance)


def backward(
    id: str, draw: Callable[[Draw], Values], f: Callable[[Any], Tensor], constants: Sequence[str] = ()
) -> Callable[[Draw], Drawn]:
    """What is drawn for the derivative with this id: the values, y and g; and ∂L/∂x by the engine."""
    found = re.match(r"\\frac\{\\partial L\}\{\\partial ([^_}]+)", registry[id].latex)
    if not found:
        raise ValueError(f"operation: {id} must begin with ∂L/∂x, got {registry[id].latex}")
    x = Formula(f"{found[1]} = 0", set()).statements[0].name

    @wraps(draw)
    def drawn(d: Draw) -> Drawn:
        values = draw(d)
        tensors = leaves(values, constants)
        y = f(SimpleNamespace(**tensors))
        G = d.array(*y.shape)
        (dx,) = grad(y, tensors[x], Tensor(G))
        return {"y": y.array, "Y": y.array, "g": G, "G": G, **values}, None if dx is None else dx.array

    return drawn


def leaves(values: Values, constants: Sequence[str] = ()) -> Values:
    """The values, with a Tensor in the place of each array; those of floats require gradients, but for the constants."""
    return {
        name: Tensor(v, requires_grad=v.dtype.kind == "f" and name not in constants) if isinstance(v, np.ndarray) else v
        for name, v in values.items()
    }


def sizes(e: Equation, values: Mapping[str, Any], result: Any) -> dict[str, int]:
    """The sizes that the shapes "x (N, C) → y (N)" name, read off the arrays; each must be the same everywhere."""
    found: dict[str, int] = {}
    named = re.findall(r"([^\W\d_]\w*)\s*\(([^)]*)\)", e.shapes)
    for name, inside in named:
        array = values.get(name)
        if not isinstance(array, np.ndarray):
            continue
        letters = [part.strip() for part in inside.split(",") if part.strip()]
        if len(letters) != array.ndim:
            raise UnreadableError(f"{e.id}: {name} is said to be ({inside}), and is {array.shape}")
        for symbol, n in zip(letters, array.shape, strict=True):
            if symbol.isidentifier() and found.setdefault(symbol, n) != n:
                raise UnreadableError(f"{e.id}: {symbol} is {found[symbol]} in one place and {n} in {name} {array.shape}")
    return {symbol: n for symbol, n in found.items() if symbol not in values}


def difference(ours: Sequence[float], theirs: Sequence[float]) -> float:
    """max |a − b| over the largest |a|, but no less than SMALL: of what is 0 but for rounding no digit counts."""
    if len(ours) != len(theirs):
        return math.inf
    if not ours:  # nothing is compared
        return math.inf
    a, b = np.array(ours), np.array(theirs)
    scale = max(float(np.abs(a).max()), SMALL)
    gap = float(np.abs(a - b).max())
    return gap / scale if math.isfinite(gap) and math.isfinite(scale) else math.inf
