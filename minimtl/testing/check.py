"""The gradient check: what the maps of a function's operations say, against what its values do."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array, to_numpy
from minimtl.nn import Module
from minimtl.testing import explain, invariants
from minimtl.testing.differences import Judged, signed, sizes
from minimtl.testing.naming import name_of, named
from minimtl.testing.point import Index, Point
from minimtl.testing.pull import gradients, values
from minimtl.testing.report import CheckError, GradientError, Report
from minimtl.testing.subject import Subject, Wanted, of_function, of_module

Mode = Literal["auto", "project", "full"]
Cotangent = Tensor | Array | Sequence[Any] | Mapping[str, Any] | None
FEW = 64  # entries that are measured one by one where a projection fails; of more, those that a search leads to
CALLS = 400  # directions that a search may try
DECADES = 3  # in one projection; entries whose shares in it are smaller, or are said to be 0, get one of their own


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
    mode: "full" measures every entry; "project" takes a random u per argument, and others for entries whose share in it would be
    below a thousandth, or is said to be 0; "auto" does so too and, where that fails, measures entries. In a projection of n
    entries a single wrong one is seen if it is off by more than about rtol √n of what is typical; "full" sees smaller errors.

    A measurement agrees, differs, or is inconclusive: at a kink, or where f is too rough or its values too large to tell. It
    agrees if it is off by no more than the error of measuring (at best a millionth, at most 1e-4 of the slope) and `rtol` times
    the slope; it differs if it is off by more, and by other steps too. A difference up to `atol` is excused as inconclusive,
    never taken for agreement. More than `max_inconclusive` of them, as a part of all, is a failure. Slopes that are lost in the
    rounding of values of about 1 are negligible: counted, and passed over.

    Checked as well: shapes and dtypes of gradients; arguments and v are not written to; a second call, and going back a second
    time, give the same; one tensor as two arguments gets both gradients; memory, of arguments or of v, that is transposed,
    reversed, strided or repeated by broadcasting does not matter. A Module is checked as by `gradcheck_module`.

    Returns a Report, true where all agrees; otherwise raises GradientError, or returns the report with raise_exception=False.
    """
    __tracebackhide__ = True  # pytest shows the caller's line instead
    if isinstance(f, Module) and wrt is not None:
        raise ValueError(
            "gradcheck: a module is checked by all its parameters and inputs; for wrt pass a function that calls it"
        )
    subject = of_module(f, args) if isinstance(f, Module) else of_function(f, args, wrt)
    return Check(subject, cotangent, mode, seed, rtol, atol, max_inconclusive).report(raise_exception)


def gradcheck_module(module: Module, *args: Any, **options: Any) -> Report:
    """`gradcheck` of module(*args), by the inputs and by every parameter; the options are the same, but for `wrt`.

    It is checked in the mode, training or evaluation, that it is in. Dropout repeats its mask, statistics start over, and the
    module itself is left as it was.
    """
    __tracebackhide__ = True
    if not isinstance(module, Module):
        raise TypeError(f"gradcheck_module: needs a Module, got {name_of(module)}; gradcheck is for functions")
    return gradcheck(module, *args, **options)


@dataclass
class Check:
    """One run of the check: `report` tells what `run` finds."""

    subject: Subject
    cotangent: Cotangent
    mode: Mode
    seed: int
    rtol: float
    atol: float
    max_inconclusive: float

    def __post_init__(self) -> None:
        if self.mode not in ("auto", "project", "full"):
            raise ValueError(f"gradcheck: mode must be 'auto', 'project' or 'full', got {self.mode!r}")
        if not (self.rtol > 0 and self.atol >= 0 and 0 <= self.max_inconclusive <= 1):
            raise ValueError(
                "gradcheck: rtol must be positive, atol not negative, max_inconclusive in [0, 1], "
                f"got {self.rtol}, {self.atol}, {self.max_inconclusive}"
            )
        shapes = [f"{name} {a.shape}" for name, a in zip(self.subject.names, self.subject.arrays, strict=True)]
        self.found, self.rng = Report(self.subject.name, shapes, note=self.subject.note), np.random.default_rng(self.seed)
        self.doubtful: list[str] = []  # entries without a verdict

    def report(self, raise_exception: bool) -> Report:
        """The report of the run, with the details of a fault; raised as an error unless told otherwise."""
        __tracebackhide__ = True
        with np.errstate(all="ignore"):
            fault = self.run()
            if fault is not None:
                self.found.verdict, self.found.headline = fault.verdict, fault.headline
                self.found.details = [*explain.found_out(fault.details), *explain.context(self)]
        if fault is not None and raise_exception:
            raise GradientError(self.found) from fault.__cause__
        return self.found

    def run(self) -> CheckError | None:
        """Check everything; the first fault ends it."""
        subject = self.subject
        try:
            outputs = values(subject)
            vs = self.cotangents(outputs)
            self.point = Point(subject, vs, outputs, gradients(subject, vs))
            for k in range(len(subject.arrays)):
                self.argument(k)
            if self.found.inconclusive > self.max_inconclusive * self.found.measured:
                raise explain.undecided(self)
            invariants.repeats(self.point)
            invariants.shares(self.point)
            invariants.any_layout(self.point)
        except CheckError as fault:
            return fault
        return None

    def cotangents(self, outputs: dict[str, Array]) -> dict[str, Array]:
        """v for each output: the caller's, or random numbers."""
        if self.cotangent is None:
            return {name: signed(self.rng, y.shape) for name, y in outputs.items()}
        needed = {name: y.shape for name, y in outputs.items()}
        one = (
            np.asarray(as_array(self.cotangent), np.float64)
            if not isinstance(self.cotangent, Mapping) and len(needed) == 1
            else None
        )
        if one is not None and [one.shape] == list(needed.values()):
            vs = dict.fromkeys(needed, one)
        else:
            vs = {name: np.asarray(as_array(v), np.float64) for name, v in named("output", self.cotangent)}
            if not isinstance(self.cotangent, Mapping) and len(vs) == len(needed):
                vs = dict(zip(needed, vs.values(), strict=True))
        came = {name: v.shape for name, v in vs.items()}
        if came != needed:
            raise ValueError(f"gradcheck: cotangent must have the shapes of the outputs, {needed}, got {came}")
        if not all(np.isfinite(v).all() for v in vs.values()) or not any(v.any() for v in vs.values()):
            raise ValueError("gradcheck: cotangent must be finite, and not all 0, which would see nothing")
        return {name: vs[name] for name in needed}

    def argument(self, k: int) -> None:
        """Leaf k: along random directions, then entry by entry where they do not agree, or in full mode."""
        x = self.subject.arrays[k]
        if self.mode == "full":
            return self.each(k, list(np.ndindex(x.shape)))
        number = np.all([np.isfinite(g[k]) for g in self.point.gradients.values()], axis=0)
        self.each(k, [tuple(at) for at in np.argwhere(~number)[:FEW].tolist()])  # what is none cannot be added up
        for u in self.directions(k, number):
            judged = self.point.along(k, u, self.rtol, self.atol)
            if self.mode == "project" or all(j.verdict == "agrees" for j in judged.values()):
                self.count(judged)
                if differs(judged):
                    raise explain.wrong_direction(self, k, judged)
            elif x.size <= FEW:
                return self.each(k, [at for at in np.ndindex(x.shape) if number[at]])
            else:
                self.search(k, u, judged)
        return None

    def directions(self, k: int, number: Array) -> list[Array]:
        """A random direction of the entries with a number for a gradient, in parts where their shares differ much."""
        x = self.subject.arrays[k]
        u = np.where(number, sizes(x) * signed(self.rng, x.shape), 0.0)
        if not u.any():
            return []
        shares = np.max([share(np.where(number, g[k], 0.0) * u) for g in self.point.gradients.values()], axis=0)
        steps = np.ceil(np.log10(np.where(shares == 0, 1.0, shares)) / DECADES)
        group = np.where(shares == 0, 1, np.clip(steps, -3, 0))
        return [np.where(group == i, u, 0.0) for i in np.unique(group[u != 0])]

    def search(self, k: int, u: Array, judged: dict[str, Judged]) -> None:
        """Of a large array, the entries in which a direction does not agree: by halves, those that agree left behind."""
        parts, calls = [np.argwhere(u)], 0
        while parts and calls < CALLS:
            part, calls = parts.pop(), calls + 1
            if len(part) <= FEW // 4:
                self.each(k, [tuple(at) for at in part.tolist()])
                continue
            found = self.point.along(k, only(u, part), self.rtol, self.atol)
            if all(j.verdict == "agrees" for j in found.values()):
                self.count(found)
            else:
                parts += [part[len(part) // 2 :], part[: len(part) // 2]]
        for _ in parts:
            self.count(judged)
        if differs(judged):  # though no entry shows it alone
            raise explain.wrong_direction(self, k, judged)

    def each(self, k: int, entries: list[Index]) -> None:
        """Entries of leaf k, one by one."""
        x, name = self.subject.arrays[k], self.subject.names[k]
        results = {at: self.point.at(k, at, self.rtol, self.atol) for at in entries}
        for at, judged in results.items():
            self.count(judged)
            if any(j.verdict == "inconclusive" for j in judged.values()):
                self.doubtful.append(f"{explain.element(name, at)} = {x[at]:.6g}")
        for output in self.point.vs:
            if any(judged[output].verdict == "differs" for judged in results.values()):
                raise explain.wrong_entries(self, k, output, {at: judged[output] for at, judged in results.items()})

    def count(self, judged: dict[str, Judged]) -> None:
        """Enter measurements into the report."""
        for j in judged.values():
            self.found.measured += 1
            self.found.inconclusive += j.verdict == "inconclusive"
            self.found.negligible += j.negligible
            if j.verdict == "agrees":
                self.found.worst = max(self.found.worst, j.relative)

    def options(self) -> str:
        """The options of the call, as far as they are not the usual ones."""
        usual = {"mode": "auto", "rtol": 1e-6, "atol": 0.0, "max_inconclusive": 0.05}
        given = [f"{name}={getattr(self, name)!r}" for name, value in usual.items() if getattr(self, name) != value]
        return ", ".join([f"seed={self.seed}", *given])


def differs(judged: dict[str, Judged]) -> bool:
    """Whether a difference was seen."""
    return any(j.verdict == "differs" for j in judged.values())


def share(terms: Array) -> Array:
    """How large each term is, as a part of the largest."""
    return np.abs(terms) / (np.abs(terms).max() or 1.0)


def only(u: Array, entries: Array) -> Array:
    """The direction u, of these entries alone."""
    part = np.zeros_like(u)
    index = tuple(entries.T)
    part[index] = u[index]
    return part


def as_array(v: Any) -> Any:
    """The numbers of a tensor, in NumPy; anything else as it is."""
    return to_numpy(v.array) if isinstance(v, Tensor) else v
