"""What operations are tried on: shapes and options come from Hypothesis, numbers from a generator that Hypothesis seeds.

Each function below a Draw makes the arguments of one operation. Where derivatives are measured the numbers are *spaced*: at least
.07 from every multiple of ¼, and from each other, so that no step of a difference quotient crosses a kink (0, the bounds of a
clip, the δ of a loss) or changes which of several numbers is the largest. *Tied* numbers are the opposite: a few values that
meet at kinks and equal each other all the time.
"""

import math
from typing import Any, NamedTuple

import numpy as np
from hypothesis import strategies as st

SIZES = (2, 3, 1, 4)
TIED = (0.0, 0.0, 0.5, -0.5, 1.0, -1.0, 2.0)
SCALARS = (2, -1.25, 0.5, 3, -1)


class Call(NamedTuple):
    """The arguments of one call: arrays of float64 are what to differentiate by, other arrays and options are given."""

    args: tuple[Any, ...]
    kwargs: dict[str, Any]


def call(*args, **kwargs):
    return Call(tuple(map(whole, args)), {name: whole(item) for name, item in kwargs.items()})


def whole(item):
    """The item, as an array of no axes where NumPy has made a number of one."""
    return np.asarray(item) if isinstance(item, np.generic) else item


class Draw:
    """A source of shapes, options and numbers."""

    def __init__(self, draw, tied=False):
        self.draw, self.tied = draw, tied
        self.rng = np.random.default_rng(draw(st.integers(0, 2**16)))

    # Shapes and options

    def of(self, *options):
        return self.draw(st.sampled_from(options))

    def integer(self, low, high):
        return self.draw(st.integers(low, high))

    def now_and_then(self, probability=0.15):
        return self.rng.random() < probability

    def shape(self, low=0, high=3, least=0):
        """low … high axes of least … 4 entries, now and then one of none."""
        sizes = [self.of(*(n for n in SIZES if n >= least)) for _ in range(self.integer(low, high))]
        if sizes and least == 0 and self.now_and_then(0.3):
            sizes[self.rng.integers(len(sizes))] = 0
        return tuple(sizes)

    def shapes(self, count):
        """Shapes that broadcast with each other: some axes of size 1, some leading axes missing."""
        whole = self.shape()
        cuts = [self.integer(0, len(whole)) for _ in range(count)]
        ones = [self.rng.random(len(whole)) < 0.25 for _ in range(count)]
        return [tuple(1 if one else n for n, one in zip(whole, o))[cut:] for o, cut in zip(ones, cuts)]

    def dim(self, n):
        """One of n axes, counted from either end."""
        return self.integer(-n, n - 1)

    def dims(self, n):
        """Several axes, counted from either end."""
        chosen = [i for i in range(n) if self.rng.random() < 0.6] or [0]
        return tuple(i - n if self.rng.random() < 0.4 else i for i in chosen)

    # Numbers

    def arrays(self, *shapes):
        """An array for each shape, all their numbers spaced, or tied."""
        sizes = [math.prod(shape) for shape in shapes]
        if self.tied:
            numbers = self.rng.choice(TIED, sum(sizes))
        else:
            cells = self.rng.permutation(max(sum(sizes), 24))[: sum(sizes)] - max(sum(sizes), 24) // 2
            numbers = (cells + 0.5) / 4 + self.rng.uniform(-0.05, 0.05, sum(sizes))
        parts = np.split(numbers, np.cumsum(sizes)[:-1])
        return [part.reshape(shape) for part, shape in zip(parts, shapes)]

    def array(self, *shape):
        return self.arrays(shape)[0]

    def positive(self, *shape):
        """Numbers above ½; any where they may be tied, so that the singular points are met."""
        return self.array(*shape) if self.tied else np.abs(self.array(*shape)) + 0.5

    def probabilities(self, *shape):
        return self.rng.choice([0.25, 0.5, 1e-3], shape) if self.tied else self.rng.uniform(0.05, 0.95, shape)

    def distributions(self, *shape):
        """Probabilities that add up to 1 along axis 1, or along axis 0 of a vector."""
        p = self.probabilities(*shape) + 0.01
        return p / p.sum(axis=min(1, p.ndim - 1), keepdims=True)

    def mask(self, *shape):
        return np.asarray(self.rng.random(shape) < 0.5)

    def indices(self, n, *shape):
        """Integers from 0 to n − 1; none where there is nothing to point at."""
        return self.rng.integers(0, max(n, 1), shape if n else tuple(0 for _ in shape))


# Entry by entry


def unary(d):
    return call(d.array(*d.shape()))


def of_positive(d):
    return call(d.positive(*d.shape()))


def with_option(name, *values):
    """A tensor, and now and then the option."""
    return lambda d: call(d.array(*d.shape()), **d.of({}, *({name: value} for value in values)))


def then(*values):
    """A tensor, and one of the values."""
    return lambda d: call(d.array(*d.shape()), d.of(*values))


def softened(d):
    return call(d.array(*d.shape()), **d.of({}, {"beta": 2.0}, {"beta": 0.5, "threshold": 0.25}))


def truths(d):
    """Booleans or numbers, of which some are 0."""
    x = d.array(*d.shape())
    return call(np.where(d.mask(*x.shape), x, 0) if d.of(True, False) else d.mask(*x.shape))


def with_numbers(d, a, b):
    """Two tensors, or one and a Python number on the other side."""
    return d.of((a, b), (a, d.of(*SCALARS)), (d.of(*SCALARS), b))


def binary(d):
    """Two tensors that broadcast, or a tensor and a number."""
    return call(*with_numbers(d, *d.arrays(*d.shapes(2))))


def bits(d):
    """Two tensors of integers, or two of truth values, or one of either kind."""
    a, b = d.shapes(2)
    return call(
        *d.of((d.mask(*a), d.mask(*b)), (d.rng.integers(-9, 9, a), d.rng.integers(-9, 9, b)), (d.indices(5, *a), d.mask(*b)))
    )


def bit(d):
    return call(bits(d).args[0])


def quotient(d):
    """A divisor away from 0."""
    a, b = binary(d).args
    return call(a, b if d.tied or not isinstance(b, np.ndarray) else b + np.sign(b) / 2)


def power(d):
    """A positive base with any exponent, or any base with an integer."""
    if d.of(True, False):
        return call(d.array(*d.shape()), d.of(2, 3, 0, 1, 2.0))
    a, b = binary(d).args
    return call(np.abs(a) + (0 if d.tied else 0.5), b)


def modulo(d):
    """a = b (k + f) with a fraction f, so that a / b is no integer."""
    shape, other = d.shapes(2)
    if d.tied:
        return call(d.array(*shape), d.of(d.array(*other), *SCALARS))
    whole, b = np.broadcast_shapes(shape, other), d.array(*other)
    b += np.sign(b) / 2
    return call(b * (d.rng.integers(-3, 4, whole) + d.rng.uniform(0.2, 0.8, whole)), b)


def selection(d):
    """A condition and two tensors that broadcast, or a number in place of one."""
    condition, *shapes = d.shapes(3)
    return call(d.mask(*condition), *with_numbers(d, *d.arrays(*shapes)))


def bounds(d):
    low, high = d.of((-1.0, 0.5), (None, 0.5), (-0.25, None), (0, 1), (1.0, -1.0))
    return call(d.array(*d.shape()), low, high)


# Reductions


def reduced(d, least=0, axes=0):
    """A tensor, and how it is reduced: over everything, or over one or several axes, kept or not."""
    x = d.array(*d.shape(axes, 3, least))
    options = {}
    if d.of(True, True, False):
        options["dim"] = d.of(None, d.dim(x.ndim), d.dims(x.ndim)) if x.ndim else d.of(None, 0, -1)
        options["keepdim"] = d.of(False, True)
    return call(x, **options)


def along(d, least=0):
    """A tensor and one of its axes."""
    x = d.array(*d.shape(0, 3, least))
    return call(x, d.dim(max(x.ndim, 1)))


def maybe_along(d):
    """A tensor, and perhaps one axis; nothing is empty that must hold an extreme."""
    x, dim = along(d, 1).args
    options = d.of({}, {"dim": dim}, {"dim": dim, "keepdim": True})
    if options and x.ndim > 1 and d.now_and_then():
        x = np.moveaxis(np.moveaxis(x, dim, 0)[:, :0], 0, dim)
    return call(x, **options)


def deviations(d):
    """More numbers than the correction; any number where tied and corrected by the usual 1."""
    correction = d.of(1, 0, 2)
    args, options = reduced(d, *((0, 0) if d.tied and correction == 1 else (3, 1)))
    return Call(args, options | d.of({"correction": correction}, {} if correction == 1 else {"correction": correction}))


def exponentials(d):
    args, options = reduced(d)
    return Call(args, {"dim": None if args[0].ndim else 0} | options)


def some_truths(d):
    args, options = reduced(d)
    mask = d.mask(*args[0].shape)
    return call(args[0] * mask if d.of(True, False) else mask, **options)


def norms(d):
    """p-norms; beyond p = 0 all of them need a number."""
    p = d.of(2, 1, 3, 0.5, 0, np.inf, -np.inf, 1.5, -1.0)
    args, options = reduced(d, least=1 if p == np.inf or p < 0 else 0)
    return Call((*args, p), options)


# Shapes


def shaped(d):
    """Another shape of as many entries."""
    x = d.array(*d.shape())
    flat = (*reversed(x.shape),), (x.size,), (1, *x.shape)
    return call(x, d.of(*flat, (-1,), (*x.shape[:1], -1), (1, -1)) if x.size else d.of(*flat))


def flattened(d):
    x = d.array(*d.shape())
    n = max(x.ndim, 1)
    first, last = sorted((d.integer(0, n - 1), d.integer(0, n - 1)))
    return call(x, first, last - n) if d.of(True, False) else call(x)


def permuted(d):
    x = d.array(*d.shape())
    order = d.rng.permutation(x.ndim)
    return call(x, tuple(int(i) - x.ndim * d.of(0, 1) for i in order))


def transposed(d):
    x = d.array(*d.shape())
    n = max(x.ndim, 1)
    return call(x, d.dim(n), d.dim(n))


def squeezed(d):
    x = d.array(*d.shape())
    return call(x, *d.of((), (d.dim(max(x.ndim, 1)),), (d.dims(x.ndim),) if x.ndim else ()))


def unsqueezed(d):
    x = d.array(*d.shape())
    return call(x, d.integer(-x.ndim - 1, x.ndim))


def expanded(d):
    whole = d.shape()
    old = tuple(1 if d.of(True, False) else n for n in whole)
    return call(d.array(*old), (*d.shape(0, 1), *(-1 if m == n and d.of(True, False) else n for m, n in zip(old, whole))))


def joined(d):
    """One to three tensors whose lengths differ along one axis."""
    shape = d.shape(1, 3)
    dim = d.dim(len(shape))
    axis = dim % len(shape)
    lengths = [d.of(*SIZES, 0) for _ in range(d.integer(1, 3))]
    return call(d.arrays(*[(*shape[:axis], n, *shape[axis + 1 :]) for n in lengths]), dim)


def stacked(d):
    shape = d.shape()
    return call(d.arrays(*[shape] * d.integer(1, 3)), d.integer(-len(shape) - 1, len(shape)))


def pieces(d):
    """A tensor cut into pieces of one size, or of several."""
    x = d.array(*d.shape(1))
    dim = d.dim(x.ndim)
    n = x.shape[dim]
    cut = d.integer(0, n)
    return call(x, d.of(1, 2, 5, [cut, n - cut], [0, n]), dim)


def framed(d):
    """Widths to add to or to cut from the last axes."""
    x = d.array(*d.shape(1))
    pairs = []
    for n in x.shape[: -1 - d.integer(0, x.ndim - 1) : -1]:
        before = d.integer(-n, 2)
        pairs += [before, d.integer(-n - min(before, 0), 2)]
    return call(x, tuple(pairs), value=d.of(0.0, 1.5))


# Indices


def indexed(d, shape, item, idle=True):
    """item(n) for some of the first axes, and, behind …, for some of the last; None anywhere. Idle … stands for no axis."""
    front = d.integer(0, len(shape))
    back = d.integer(0, len(shape) - front) if d.of(False, True) else None
    index = [item(n) for n in shape[:front]]
    if back is not None and (idle or front + back < len(shape)):
        index += [..., *map(item, shape[len(shape) - back :])]
    if d.of(False, False, True):
        index.insert(d.integer(0, len(index)), None)
    return call(d.array(*shape), index[0] if len(index) == 1 and d.of(True, False) else tuple(index))


def plain_index(d, steps=(None, 1, 2)):
    """Integers and slices."""

    def item(n):
        ends = (d.of(None, d.integer(-n - 1, n + 1)) for _ in range(2))
        return d.of(slice(*ends, d.of(*steps)), *([d.integer(-n, n - 1)] if n else []))

    return indexed(d, d.shape(), item)


def backward_index(d):
    return plain_index(d, (-1, -2))


def tensor_index(d, integers=False):
    """Integer tensors, which broadcast, and lists, with slices and perhaps integers between them."""
    common = [shape if integers else shape or (1,) for shape in d.shapes(3)]  # NumPy knows no tensors of one integer

    def item(n):
        numbers = np.asarray(d.rng.integers(-n, n, d.of(*common)))  # repeated ones and negative ones
        others = (d.integer(-n, n - 1),) * 2 if integers else ()
        return d.of(numbers, numbers, numbers.tolist() if numbers.ndim == 1 else numbers, slice(0, 2), *others)

    return indexed(d, d.shape(1, 4, 1), item, idle=integers)  # an idle … parts NumPy's tensors, not PyTorch's


def mixed_index(d):
    return tensor_index(d, integers=True)


def mask_index(d):
    """A mask of the first axes, alone or before a slice, an integer or as many indices as it leaves."""
    shape = d.shape(1, 3)
    covered = d.integer(0, len(shape))
    mask, rest = d.mask(*shape[:covered]), shape[covered:]
    more = [mask, (mask, ...), (mask, None)]
    if rest:
        more += [(mask, slice(1, None)), (..., d.mask(*rest))]
        more += [(mask, -1), (mask, d.rng.integers(0, rest[0], int(mask.sum())))] if rest[0] else []
    return call(d.array(*shape), d.of(*more))


def selected(d):
    x = d.array(*d.shape(1, 3))
    dim = d.dim(x.ndim)
    return call(x, dim, d.indices(x.shape[dim], d.of(3, 1, 0, 5)))


def looked_up(d):
    items = d.of(3, 1, 5)
    return call(d.indices(items, *d.shape()), d.array(items, d.of(*SIZES, 0)))
