"""The gradient check: what the maps of a function's operations say, against what its values do."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cache, partial
from typing import Any, Literal

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array, to_numpy
from minimtl.nn import Module
from minimtl.testing import explain, invariants
from minimtl.testing.differences import ROUNDING, Measured, measure, once, scatter, sizes
from minimtl.testing.pull import gradients, values
from minimtl.testing.report import CheckError, GradientError, Lines, Report, Verdict
from minimtl.testing.subject import Subject, Wanted, of_function, of_module

Mode = Literal["auto", "project", "full"]
Cotangent = Tensor | Array | Sequence[Any] | None
SAMPLE = 1000  # entries looked at one by one where a projection fails on more


def gradcheck(
    f: Callable[..., Any],
    *args: Any,
    wrt: Wanted = None,
    cotangent: Cotangent = None,
    mode: Mode = "auto",
    seed: int = 0,
    rtol: float = 1e-6,
    atol: float = 0.0,
    max_inconclusive: float = 0.05,
    raise_exception: bool = True,
) -> Report:
    """(vᵀ ∂f/∂x) u = d/dt vᵀ f(x + t u) at t = 0, for a random v and, for each argument x, a random u, or every unit vector u

    The left side is what `backward` gives, the right side is measured by central differences at two steps, joined so that
    their errors cancel: see `testing.differences`. All floating-point tensors among the arguments are checked, also in lists
    and dictionaries, or those that `wrt` names by position or name. They are copied to float64.

    v is drawn from the seed, or is the `cotangent` (one per output); a v of ones is blind where outputs add up to a constant.
    mode: "project" takes one random u per argument, "full" every entry, "auto" a random u and, where it fails, every entry.

    A measurement agrees, differs, or is inconclusive: at a kink, or where f is too rough. It differs if it is off by more
    than the error of measuring and `rtol` times the largest number involved. A difference up to `atol` is excused as
    inconclusive, never taken for agreement. More than `max_inconclusive` of them, as a part of all, is a failure too.

    Checked as well: shapes and dtypes of gradients; arguments and v are not written to; a second call gives the same; a second
    backward adds the same again; one tensor as two arguments gets both gradients; memory that is transposed, strided or
    repeated by broadcasting does not matter.

    Returns a Report, true where all agrees; otherwise raises GradientError, or returns the report with raise_exception=False.
    """
    __tracebackhide__ = True  # pytest shows the caller's line instead
    subject = of_function(f, args, wrt)
    return Check(subject, cotangent, mode, seed, rtol, atol, max_inconclusive).report(raise_exception)


def gradcheck_module(
    module: Module,
    *args: Any,
    cotangent: Cotangent = None,
    mode: Mode = "auto",
    seed: int = 0,
    rtol: float = 1e-6,
    atol: float = 0.0,
    max_inconclusive: float = 0.05,
    raise_exception: bool = True,
) -> Report:
    """`gradcheck` of module(*args), by the inputs and by every parameter; the module itself is left as it was.

    It is checked in the mode, training or evaluation, that it is in. Dropout repeats its mask, statistics start over.
    """
    __tracebackhide__ = True
    subject = of_module(module, args)
    return Check(subject, cotangent, mode, seed, rtol, atol, max_inconclusive).report(raise_exception)


@dataclass
class Compared:
    """What the gradient says of a direction, what was measured, and the verdict."""

    claimed: float
    measured: Measured
    verdict: Verdict

    @property
    def relative(self) -> float:
        """How far apart they are, as a part of the largest number involved; 0 where that is lost in rounding."""
        scale = max(abs(self.claimed), self.measured.scale)
        return abs(self.claimed - self.measured.slope) / scale if scale > self.measured.error else 0.0


@dataclass
class Check:
    """One run of the check."""

    subject: Subject
    cotangent: Cotangent
    mode: Mode
    seed: int
    rtol: float
    atol: float
    max_inconclusive: float
    found: Report = field(init=False)
    doubtful: list[str] = field(init=False, default_factory=list)  # entries without a verdict
    noise: dict[tuple[int, str], float] = field(init=False, default_factory=dict)  # of an output along a leaf

    def report(self, raise_exception: bool) -> Report:
        """Run everything; the first fault ends it."""
        __tracebackhide__ = True
        subject = self.subject
        if self.mode not in ("auto", "project", "full"):
            raise ValueError(f"gradcheck: mode must be 'auto', 'project' or 'full', got {self.mode!r}")
        shapes = [f"{name} {a.shape}" for name, a in zip(subject.names, subject.arrays, strict=True)]
        self.found, self.rng = Report(subject.name, shapes, note=subject.note), np.random.default_rng(self.seed)
        try:
            self.values = values(subject)
            self.vs = self.cotangents()
            self.gradients = gradients(subject, self.vs)
            for k in range(len(subject.arrays)):
                self.argument(k)
            if self.found.inconclusive > self.max_inconclusive * self.found.measured:
                raise explain.undecided(self)
            invariants.accumulates(subject, self.vs, self.gradients)
            invariants.shares(subject, self.vs)
            invariants.any_layout(subject, self.vs)
        except CheckError as fault:
            self.found.verdict, self.found.headline = fault.verdict, fault.headline
            self.found.details = cache(partial(self.told, fault.details))
            if raise_exception:
                raise GradientError(self.found) from fault.__cause__
        return self.found

    def told(self, details: Lines) -> list[tuple[str, str]]:
        """The details of a fault, and what every failure is told with."""
        return [*details(), *explain.context(self)]

    def cotangents(self) -> dict[str, Array]:
        """v for each output: the caller's, or random numbers."""
        if self.cotangent is None:
            return {name: signed(self.rng, y.shape) for name, y in self.values.items()}
        given = self.cotangent if isinstance(self.cotangent, (list, tuple)) else [self.cotangent]
        arrays = [np.asarray(to_numpy(v.array) if isinstance(v, Tensor) else v, np.float64) for v in given]
        needed, came = [y.shape for y in self.values.values()], [v.shape for v in arrays]
        if needed != came:
            raise ValueError(f"gradcheck: cotangent must have the shapes of the outputs, {needed}, got {came}")
        return dict(zip(self.values, arrays, strict=True))

    def argument(self, k: int) -> None:
        """Leaf k: along a random direction, then entry by entry where that does not agree, or in full mode."""
        x = self.subject.arrays[k]
        if x.size == 0:
            return
        if self.mode != "full":
            compared = self.along(k, sizes(x) * signed(self.rng, x.shape))
            if self.mode == "project" or all(c.verdict == "agrees" for c in compared.values()):
                self.count(compared)
                if any(c.verdict == "differs" for c in compared.values()):
                    raise explain.wrong_direction(self, k, compared)
                return
        results = {at: self.along(k, self.unit(k, at)) for at in self.entries(x)}
        for at, compared in results.items():
            self.count(compared)
            if any(c.verdict == "inconclusive" for c in compared.values()):
                self.doubtful.append(f"{explain.element(self.subject.names[k], at)} = {x[at]:.6g}")
        for name in self.vs:
            if any(compared[name].verdict == "differs" for compared in results.values()):
                raise explain.wrong_entries(self, k, name, {at: compared[name] for at, compared in results.items()})

    def entries(self, x: Array) -> list[tuple[int, ...]]:
        """All entries, or a sample of a large array where a projection has failed."""
        everything = list(np.ndindex(x.shape))
        if self.mode == "full" or len(everything) <= SAMPLE:
            return everything
        return [everything[i] for i in np.sort(self.rng.choice(len(everything), SAMPLE, replace=False))]

    def unit(self, k: int, at: tuple[int, ...]) -> Array:
        """The direction of one entry of leaf k, of its size."""
        size = sizes(self.subject.arrays[k])
        return np.where(np.arange(size.size).reshape(size.shape) == np.ravel_multi_index(at, size.shape), size, 0.0)

    def along(self, k: int, u: Array) -> dict[str, Compared]:
        """For each output y: (vᵀ ∂y/∂x) u by the gradient, against d/dt vᵀ y(x + t u) by differences, x being leaf k."""

        @cache
        def moved(t: float) -> dict[str, float]:
            arrays = self.subject.copies()
            arrays[k][...] += t * u
            try:
                outputs = self.subject.outputs(self.subject.leaves(arrays))
            except (ValueError, ArithmeticError):  # outside the domain
                return dict.fromkeys(self.vs, np.nan)
            return {name: total(v * outputs[name].array) for name, v in self.vs.items()}

        def φ(name: str, t: float) -> float:
            return moved(t)[name]

        found = {}
        for name, v in self.vs.items():
            g, x = self.gradients[name][k], self.subject.arrays[k]
            size = total(np.abs(v * self.values[name])) + total(np.abs(g * x))
            found[name] = self.compared(partial(φ, name), size, g * u, total(np.abs(v)), (k, name))
        return found

    def compared(
        self, φ: Callable[[float], float], size: float, terms: Array, weight: float, where: tuple[int, str]
    ) -> Compared:
        """φ′(0) = Σ terms? A difference counts where another measurement, with a third step, confirms it.

        φ adds up outputs with `weight` in all. More than a billionth of what it may be is no rounding but a rough function.
        """

        def noise() -> float:
            seen = scatter(φ)
            self.noise[where] = max(seen if seen <= 1e-9 * (size + weight) else 0.0, self.noise.get(where, 0.0))
            return self.noise[where]

        claimed, measured = total(terms), measure(φ, size, total(np.abs(terms)), noise)
        if measured.fair and not measured.agrees(claimed, self.rtol):
            first, apart = measured, abs(claimed - measured.slope)
            measured = once(φ, φ(0.0), first.step / 3, ROUNDING * size + (self.noise.get(where) or noise()), first.scale)
            if not measured.agrees(claimed, self.rtol):
                confirmed = not np.isfinite(claimed) or abs(measured.slope - first.slope) <= apart / 4
                return Compared(claimed, first, "differs" if confirmed and not apart <= self.atol else "inconclusive")
        return Compared(
            claimed, measured, "agrees" if measured.fair and measured.agrees(claimed, self.rtol) else "inconclusive"
        )

    def count(self, compared: dict[str, Compared]) -> None:
        """Enter measurements into the report."""
        for c in compared.values():
            self.found.measured += 1
            self.found.inconclusive += c.verdict == "inconclusive"
            if c.verdict == "agrees":
                self.found.worst = max(self.found.worst, c.relative)


def signed(rng: np.random.Generator, shape: tuple[int, ...]) -> Array:
    """Numbers of either sign that are about 1 in size: none hides an entry."""
    return np.asarray(rng.uniform(0.5, 1.5, shape) * rng.choice([-1.0, 1.0], shape))


def total(a: Array) -> float:
    """The sum of the entries, as a Python number."""
    return float(a.sum())
