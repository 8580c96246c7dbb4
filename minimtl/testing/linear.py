"""The check of linear operations: exact, without a step, for a linear map and its adjoint need no derivative to be compared."""

from collections.abc import Callable
from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.testing.differences import signed
from minimtl.testing.explain import LIMIT
from minimtl.testing.naming import named
from minimtl.testing.pull import pull, same, summed
from minimtl.testing.report import CheckError, GradientError, Report
from minimtl.testing.subject import Subject, of_function


def check_linear_op(
    A: Callable[..., Any], x: Any, At: Callable[..., Any] | None = None, seed: int = 0, rtol: float = 1e-10
) -> Report:
    """⟨v, A u⟩ = ⟨Aᵀ v, u⟩ for random u, shaped as x, and v, shaped as A(x); and A(s u + t w) = s A u + t A w.

    x is a tensor or a list of tensors, of which only the shapes count. Aᵀ is what `backward` computes, or `At`, an operation
    of its own such as a transposed convolution; it returns as many tensors as x has. The two sides are equal to the last
    digits, so `rtol` may be far below that of a check by differences. Raises GradientError.
    """
    subject, rng = of_function(A, [x], None), np.random.default_rng(seed)
    report = Report(subject.name, [f"{name} {a.shape}" for name, a in zip(subject.names, subject.arrays, strict=True)])
    try:
        u, w = ([signed(rng, a.shape) for a in subject.arrays] for _ in range(2))
        linear(subject, u, w, *rng.uniform(0.5, 2, 2))
        Au = values_at(subject, u)
        vs = {name: signed(rng, y.shape) for name, y in Au.items()}
        back = summed(pull(subject, subject.leaves([a.copy() for a in u]), vs)[1]) if At is None else applied(At, vs)
        if [g.shape for g in back] != [a.shape for a in u]:
            raise CheckError(f"{subject.name}: Aᵀ v has the shapes {[g.shape for g in back]}, x has {[a.shape for a in u]}")
        left, right = inner(vs.values(), Au.values()), inner(back, u)
        size = inner(map(np.abs, vs.values()), map(np.abs, Au.values())) + inner(map(np.abs, back), map(np.abs, u))
        report.measured, report.worst = 1, abs(left - right) / size if size else 0.0
        if not abs(left - right) <= rtol * size:
            numbers = [("⟨v, A u⟩", f"{left:.10g}"), ("⟨Aᵀ v, u⟩", f"{right:.10g}")]
            raise CheckError(
                f"{subject.name}: what carries gradients back is not the adjoint of the operation", lambda: numbers
            )
    except CheckError as fault:
        report.verdict, report.headline = fault.verdict, fault.headline
        report.details = [*fault.details(), ("written at", subject.place), ("G", f"random, seed {seed}"), ("", LIMIT)]
        raise GradientError(report) from fault.__cause__
    return report


def values_at(subject: Subject, arrays: list[Array]) -> dict[str, Array]:
    """The outputs for the arrays."""
    return {name: y.array for name, y in subject.outputs(subject.leaves([a.copy() for a in arrays])).items()}


def linear(subject: Subject, u: list[Array], w: list[Array], s: float, t: float) -> None:
    """A(s u + t w) = s A u + t A w"""
    Au, Aw, both = (values_at(subject, at) for at in (u, w, [s * a + t * b for a, b in zip(u, w, strict=True)]))
    for name in both:
        if not same(both[name], s * Au[name] + t * Aw[name], 1e-10):
            raise CheckError(f"{subject.name} is not linear: A(s u + t w) is not s A u + t A w; use gradcheck")


def applied(At: Callable[..., Any], vs: dict[str, Array]) -> list[Array]:
    """Aᵀ v, by an operation."""
    found = dict(named("Aᵀ v", At(*(Tensor(v) for v in vs.values()))))
    for what, g in found.items():
        if not isinstance(g, Tensor):
            raise TypeError(f"check_linear_op: At must return Tensors, {what} is {type(g).__name__}")
    return [g.array for g in found.values()]


def inner(a: Any, b: Any) -> float:
    """⟨a, b⟩, over all arrays."""
    return float(sum(np.sum(x * y) for x, y in zip(a, b, strict=True)))
