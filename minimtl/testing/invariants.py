"""What must make no difference to a gradient: being asked again, sharing a tensor, how numbers lie in memory."""

from collections.abc import Iterator, Sequence

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.graph import Node, reachable
from minimtl.testing.point import Point
from minimtl.testing.pull import pull, same, summed
from minimtl.testing.report import CheckError, said
from minimtl.testing.subject import Subject

CLOSE = 1e-8  # sums in another order differ in the last digits
Vs = dict[str, Array]


def repeats(point: Point) -> None:
    """A new call gives the same gradients, and a second backward adds the same again. No other `.grad` is left changed."""
    subject = point.subject
    leaves = subject.leaves()
    ends = [(y, Tensor(point.vs[name])) for name, y in subject.outputs(leaves).items() if y.requires_grad]
    others = {x: x.grad for x in leaves_below([y for y, _ in ends])}
    try:
        for n, what in ((1, "a new call gives another gradient"), (2, "a second backward does not add the same again")):
            for y, v in ends:
                y.backward(v, retain_graph=True)
            for x, name, g in zip(leaves, subject.names, summed(point.gradients), strict=True):
                if not same(np.zeros_like(g) if x.grad is None else x.grad.array, n * g, 1e-10):
                    raise CheckError(f"{subject.name}, argument {name}: {what}; a map is random, or changes what it keeps")
    finally:
        for x, g in others.items():
            x.grad = g


def leaves_below(ys: Sequence[Tensor]) -> list[Tensor]:
    """The leaves that the outputs were made of, those of the call and others."""
    nodes = reachable("gradcheck", [y.grad_fn for y in ys])
    found = {id(x): x for node in nodes for x, *_ in node.edges or () if not isinstance(x, Node)}
    return list(found.values())


def shares(point: Point) -> None:
    """One tensor as two arguments gets the sum of both gradients. (At most three pairs of one shape are tried.)"""
    subject, vs = point.subject, point.vs
    shapes = [a.shape for a in subject.arrays]
    pairs = [(i, j) for j, shape in enumerate(shapes) for i in range(j) if shapes[i] == shape and 0 not in shape]
    for i, j in pairs[:3]:
        arrays = subject.copies()
        arrays[i] = arrays[j].copy()
        apart, joined = subject.leaves(arrays), subject.leaves(arrays)
        joined[i] = joined[j]
        plain, both = attempt(subject, apart, vs), attempt(subject, joined, vs)
        if plain is None or both is None:
            continue
        wanted, got = plain[1][i] + plain[1][j], both[1][j]
        if not same(got, wanted, CLOSE) and stable(subject, arrays, vs):
            first, second = subject.names[i], subject.names[j]
            raise CheckError(f"{subject.name}: one tensor as {first} and {second} does not get the sum of both gradients")


def any_layout(point: Point) -> None:
    """Numbers that lie otherwise in memory, those of arguments or those of the incoming gradient, give the same results."""
    subject, vs = point.subject, point.vs
    for what, arrays, views in layouts(subject.arrays):
        compare(subject, arrays, views, vs, vs, f"the arguments are {what}")
    for what, plain, views in layouts(list(vs.values())):
        given, moved = (dict(zip(vs, a, strict=True)) for a in (plain, views))
        compare(subject, subject.arrays, subject.arrays, given, moved, f"the incoming gradient is {what}")


def compare(subject: Subject, arrays: Sequence[Array], views: Sequence[Array], vs: Vs, moved: Vs, where: str) -> None:
    """Values and gradients are the same for the views as for the arrays, which hold the same numbers."""
    plain = attempt(subject, subject.leaves([a.copy() for a in arrays]), {name: v.copy() for name, v in vs.items()})
    if plain is None:
        return
    try:
        found, gs = pull(subject, subject.leaves(views), moved)
    except Exception as error:
        raise CheckError(f"{subject.name} fails where {where} in memory", said(str(error.__cause__ or error))) from error
    for name, a, b in zip([*vs, *subject.names], [*plain[0].values(), *plain[1]], [*found.values(), *summed(gs)], strict=True):
        if not same(b, a, CLOSE) and stable(subject, arrays, vs):
            part = f"the {name}" if name in vs else f"the gradient of {name}"
            raise CheckError(f"{subject.name}: {part} differs where {where} in memory")


def layouts(arrays: Sequence[Array]) -> Iterator[tuple[str, Sequence[Array], list[Array]]]:
    """A name, arrays, and the same numbers laid out in another way."""
    yield "transposed", arrays, [a.T.copy().T for a in arrays]
    yield "reversed", arrays, [np.flip(np.flip(a).copy()) for a in arrays]
    yield "strided", arrays, [np.repeat(a[..., None], 2, axis=-1)[..., 0] for a in arrays]
    if any(n > 1 for a in arrays for n in a.shape):
        views = [np.broadcast_to(first_of(a), a.shape) for a in arrays]
        yield "repeated by broadcasting", views, views


def first_of(a: Array) -> Array:
    """The first of a along its first axis that is longer than 1, with 20 bits: sums of equal numbers are then exact."""
    axis = next((i for i, n in enumerate(a.shape) if n > 1), None)
    mantissa, exponent = np.frexp(a if axis is None else a.take([0], axis))
    return np.asarray(np.ldexp(np.round(mantissa * 2**20), exponent - 20))


def attempt(subject: Subject, leaves: Sequence[Tensor], vs: dict[str, Array]) -> tuple[dict[str, Array], list[Array]] | None:
    """Values and summed gradients; None where the subject refuses the numbers, or gives outputs of another shape for them."""
    try:
        found, gs = pull(subject, leaves, vs)
    except Exception:
        return None
    shapes = {name: y.shape for name, y in found.items()}
    return (found, summed(gs)) if shapes == {name: v.shape for name, v in vs.items()} else None


def stable(subject: Subject, arrays: Sequence[Array], vs: dict[str, Array]) -> bool:
    """Whether the gradient is the same a few last digits away: otherwise two ways to round may well differ."""
    rng = np.random.default_rng(0)
    near = [a * (1 + 1e-13 * rng.uniform(-1, 1, a.shape)) for a in arrays]
    here, there = (attempt(subject, subject.leaves([a.copy() for a in at]), vs) for at in (arrays, near))
    return here is not None and there is not None and all(map(same, there[1], here[1], [CLOSE] * len(here[1])))
