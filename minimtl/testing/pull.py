"""One call of the subject, forward and back, and what of it must always hold."""

from collections.abc import Sequence

import numpy as np

from minimtl.autograd import Tensor, grad
from minimtl.backend import Array
from minimtl.testing.report import CheckError, said
from minimtl.testing.subject import Subject

Gradients = dict[str, list[Array]]  # by output, for each leaf


def values(subject: Subject) -> dict[str, Array]:
    """The outputs by name, of the first of two calls: the second gives the same, and neither writes to an argument."""
    arrays, calls = subject.copies(), []
    for _ in range(2):
        calls.append({name: y.array.copy() for name, y in subject.outputs(subject.leaves(arrays)).items()})
        untouched(subject, arrays, f"{subject.name} writes to its argument")
    first, second = calls
    for name in first | second:
        if name not in first or name not in second or not same(first[name], second[name], 1e-12):
            raise CheckError(
                f"{subject.name} is not deterministic: called twice with the same arguments, {name} differs",
                said("Draw random numbers outside, or from minimtl's default generator, which the check repeats."),
            )
    return first


def pull(subject: Subject, leaves: Sequence[Tensor], vs: dict[str, Array]) -> tuple[dict[str, Array], Gradients]:
    """The outputs y, and vᵀ ∂y/∂x for each of them by each leaf x: zeros where y does not depend on x."""
    outputs, found = subject.outputs(list(leaves)), {}
    for name, y in outputs.items():
        v, before = vs[name], vs[name].tobytes()
        try:
            gs = grad(y, leaves, Tensor(v), retain_graph=True, allow_unused=True) if y.requires_grad else [None] * len(leaves)
        except Exception as error:
            raise CheckError(f"{subject.name}: the way back fails with {type(error).__name__}", said(str(error))) from error
        if v.tobytes() != before:
            raise CheckError(f"{subject.name}: a map writes to the gradient that it is given, which others may share")
        found[name] = [np.zeros_like(x.array) if g is None else g.array for g, x in zip(gs, leaves, strict=True)]
    return {name: y.array for name, y in outputs.items()}, found


def gradients(subject: Subject, vs: dict[str, Array]) -> Gradients:
    """vᵀ ∂y/∂x by output y, for each leaf x; finding them writes to no argument."""
    arrays = subject.copies()
    _, found = pull(subject, subject.leaves(arrays), vs)
    untouched(subject, arrays, f"{subject.name}: a map writes to the argument")
    return found


def summed(found: Gradients) -> list[Array]:
    """The gradients of Σ vᵀ y, over all outputs."""
    return [np.sum(gs, axis=0) for gs in zip(*found.values(), strict=True)]


def untouched(subject: Subject, arrays: Sequence[Array], headline: str) -> None:
    """The arrays hold what those of the subject hold, bit by bit."""
    for name, a, b in zip(subject.names, arrays, subject.arrays, strict=True):
        if a.tobytes() != b.tobytes():
            raise CheckError(f"{headline} {name}")


def same(a: Array, b: Array, tolerance: float) -> bool:
    """Whether the arrays agree, to a part of the largest number; NaN and ∞ in the same places."""
    if a.shape != b.shape:
        return False
    scale = np.abs(b[np.isfinite(b)]).max(initial=0.0)
    return bool(np.allclose(a, b, rtol=tolerance, atol=tolerance * float(scale), equal_nan=True))
