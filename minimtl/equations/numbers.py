"""What a formula is evaluated with: numbers, indexed collections that refuse what lies outside, and loops over single numbers."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array

Number = float | int


class OutsideError(ValueError):
    """An index beyond the ends, or one that is no integer."""


class Numbered:
    """Entries that are read by index, counted from `base`: an array, or a list whose members may differ in length.

    Entries beyond the ends are `beyond` where that is given, else an error. Products are matrix products, by their definition.
    """

    def __init__(self, name: str, entries: Any, base: int, beyond: float | None = None) -> None:
        self.name, self.entries, self.base, self.beyond = name, entries, base, beyond

    def __getitem__(self, index: Any) -> Any:
        found = self.entries
        for i in index if isinstance(index, tuple) else (index,):
            found = found.entries if isinstance(found, Numbered) else found
            if isinstance(found, Mapping):
                found = found[i]
                continue
            place = whole(self.name, i) - self.base
            if not hasattr(found, "__len__"):
                raise OutsideError(f"{self.name} has fewer axes than indices")
            if not 0 <= place < len(found):
                if self.beyond is None:
                    raise OutsideError(
                        f"{self.name} has no entry {i}: they are numbered {self.base} … {len(found) - 1 + self.base}"
                    )
                return self.beyond
            found = found[place]
        return readable(self.name, found, self.base, self.beyond)

    def __len__(self) -> int:
        return len(self.entries)

    def __abs__(self) -> int:
        if isinstance(self.entries, np.ndarray):
            raise OutsideError(f"|{self.name}| of an array: write \\lVert {self.name} \\rVert for its norm")
        return len(self.entries)

    def __iter__(self) -> Iterator[Any]:
        return (readable(self.name, entry, self.base) for entry in self.entries)

    @property
    def T(self) -> "Numbered":
        """The matrix with rows and columns exchanged."""
        if np.ndim(self.entries) != 2:
            raise OutsideError(f"{self.name} is no matrix, and has no transpose; products of vectors are written ⟨a, b⟩")
        return self.like([list(column) for column in zip(*self.entries, strict=True)])

    @property
    def floats(self) -> Array:
        """The entries as an array of float64: small integers would wrap."""
        return np.asarray(self.entries, dtype=float)

    def __eq__(self, other: object) -> bool:
        raise OutsideError(f"{self.name} is compared as a whole: compare its entries")

    __hash__ = None  # type: ignore[assignment]

    def like(self, entries: Any) -> "Numbered":
        """Other entries, numbered alike."""
        return Numbered(self.name, np.array(entries, dtype=float), self.base)

    def each(self, f: Callable[[Any, Any], Any], other: Any) -> "Numbered":
        """f(entry, entry of the other) one by one."""
        if not isinstance(other, Numbered) or np.shape(self.entries) != np.shape(other.entries):
            raise OutsideError(f"{self.name} is added to something of another shape")
        return self.like([f(a, b) for a, b in zip(self.floats, other.floats, strict=True)])

    def __add__(self, other: Any) -> "Numbered":
        return self.each(lambda a, b: a + b, other)

    def __sub__(self, other: Any) -> "Numbered":
        return self.each(lambda a, b: a - b, other)

    def __neg__(self) -> "Numbered":
        return self.like([-a for a in self.floats])

    def __rmul__(self, factor: Number) -> "Numbered":
        return self.like([factor * a for a in self.floats])

    def __truediv__(self, divisor: Any) -> "Numbered":
        if isinstance(divisor, Numbered):
            raise OutsideError(f"{self.name} is divided by {divisor.name}, which is no number")
        return self.like([a / divisor for a in self.floats])

    def __mul__(self, other: Any) -> "Numbered":
        if not isinstance(other, Numbered):
            return other * self
        if np.ndim(self.entries) != 2 or len(self.entries[0]) != len(other):
            raise OutsideError(f"{self.name} and {other.name} do not multiply as matrices")
        columns = [other.entries] if np.ndim(other.entries) == 1 else list(zip(*other.entries, strict=True))
        rows = [[sum(a * b for a, b in zip(row, column, strict=True)) for column in columns] for row in self.entries]
        return self.like([row[0] for row in rows] if np.ndim(other.entries) == 1 else rows)


@dataclass(frozen=True)
class Sample:
    """Numbers that the formula draws itself, from the distribution that it prints, by a NumPy generator of this seed."""

    seed: int
    size: int
    dtype: str = "float64"

    def drawn(self, distribution: str) -> Array:
        """Of "U(0, 1)" or "N(0, 1)", with any numbers."""
        rng = np.random.default_rng(self.seed)

        def uniform(a: float, b: float) -> Array:
            return a + (b - a) * rng.random(self.size, np.dtype(self.dtype)).astype(float)

        def normal(mean: float, variance: float) -> Array:
            return mean + variance**0.5 * rng.standard_normal(self.size)

        return np.asarray(eval(distribution, {"U": uniform, "N": normal}))


def whole(name: str, i: Any) -> int:
    """An index as an integer."""
    if not isinstance(i, (int, float, np.number)) or int(i) != i:
        raise OutsideError(f"{name} is read at {i}, which is no integer")
    return int(i)


def readable(name: str, value: Any, base: int = 1, beyond: float | None = None) -> Any:
    """The value as the formula sees it: Python numbers, functions, and collections, Tensors among them, as `Numbered`."""
    value = value.array if isinstance(value, Tensor) else value
    if isinstance(value, (np.ndarray, list, tuple, Mapping)):
        return value.item() if isinstance(value, np.ndarray) and value.ndim == 0 else Numbered(name, value, base, beyond)
    return value.item() if isinstance(value, np.generic) else value


def span(low: Number, high: Number) -> range:
    """low … high, both included."""
    return range(whole("a sum's lower bound", low), whole("a sum's upper bound", high) + 1)


def entries(x: Any) -> list[float]:
    """All numbers of a collection in a row."""
    return [v for part in x for v in entries(part)] if isinstance(x, Numbered) else [x]


def norm(x: Any, p: float | None = None) -> float:
    """(Σ |xᵢ|ᵖ)^{1/p}, over all entries, 2 where p is not said; of a matrix there are other norms that are written with a p."""
    if p is not None and isinstance(x, Numbered) and np.ndim(x.entries) > 1:
        raise OutsideError(f"a norm of the matrix {x.name} is written without p, and is Frobenius'")
    p = 2 if p is None else p
    if p == math.inf:
        return float(max(map(abs, entries(x))))
    return float(sum(abs(v) ** p for v in entries(x)) ** (1 / p))


def inner(a: Any, b: Any) -> float:
    """Σᵢ aᵢ bᵢ"""
    return float(sum(v * w for v, w in zip(entries(a), entries(b), strict=True)))


def log(x: Number) -> float:
    """ln x, −∞ at 0."""
    return math.log(x) if x else -math.inf


def sign(x: Number) -> int:
    """−1, 0 or 1."""
    return (x > 0) - (x < 0)


KNOWN: dict[str, Any] = {
    "exp": math.exp, "log": log, "tanh": math.tanh, "sin": math.sin, "cos": math.cos, "erf": math.erf, "sqrt": math.sqrt,
    "floor": math.floor, "ceil": math.ceil, "prod": math.prod, "pi": math.pi, "inf": math.inf, "sign": sign, "span": span,
    "norm": norm, "inner": inner,
}  # fmt: skip
