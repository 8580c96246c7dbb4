"""What to try a gradient on: Hypothesis strategies for shapes, numbers, arguments of layers, Jacobians and whole modules.

    @given(spaced(shape=(2, 3)))
    def test_relu(x): gradcheck(F.relu, x)

A difference quotient that steps over a kink, or over a tie between two entries, measures nothing. So numbers are *spaced*
unless the strategy says otherwise: away from 0 and from each other by far more than any step. Tensors are float64 and require no
gradient. An array is a single draw of bytes, each of which chooses a number: quick, and since bytes shrink to 0 it shrinks
to the numbers that come first, the ones easiest to read.
"""

import math
from collections.abc import Callable, Sequence
from functools import partial
from itertools import combinations, product
from typing import Any, NamedTuple, TypeVar

import numpy as np
from numpy.typing import NDArray

try:
    from hypothesis import Phase, assume, event, given, settings
    from hypothesis import strategies as st
    from hypothesis.strategies import DrawFn, SearchStrategy
except ImportError as error:
    raise ImportError("minimtl.testing.strategies needs Hypothesis: pip install 'minimtl[test]'") from error

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.random import default_generator
from minimtl.testing.check import gradcheck
from minimtl.testing.naming import name_of, signature_of
from minimtl.testing.report import GradientError

T = TypeVar("T")
Shape = tuple[int, ...]
Shapes = Shape | SearchStrategy[Shape] | None

KINDS = ("generic", "conflicting", "parallel", "rank_deficient", "zero_row", "scaled")
SCALES = (1.0, 1e3, 1e-10, 1e5, 1e10, 1e15)


class Case(NamedTuple):
    """The arguments of a layer: it is called as `operation(*case.tensors, **case.options)`."""

    tensors: tuple[Tensor, ...]
    options: dict[str, Any]


def _check(name: str, argument: str, value: object, holds: bool, wanted: str) -> None:
    if not holds:
        raise ValueError(f"{name}: {argument} must be {wanted}, got {value!r}")


def shapes(min_dims: int = 0, max_dims: int = 3, max_side: int = 4, min_side: int = 0) -> SearchStrategy[Shape]:
    """min_dims … max_dims axes of min_side … max_side entries, rarely of 0. Shrinks to few axes, and to 1 entry."""
    _check("shapes", "min_dims", min_dims, 0 <= min_dims <= max_dims, f"in 0 … max_dims = {max_dims}")
    _check("shapes", "min_side", min_side, 0 <= min_side <= max_side, f"in 0 … max_side = {max_side}")
    sides = [*range(max(min_side, 1), max_side + 1)] * 3 + [0] * (min_side == 0)
    return st.lists(st.sampled_from(sides), min_size=min_dims, max_size=max_dims).map(tuple)


def _shaped(name: str, shape: Shapes, make: Callable[[Shape], SearchStrategy[T]]) -> SearchStrategy[T]:
    """make(shape), of the shape given, of each drawn, or of any; a shape given is refused here and not at the first draw."""
    if shape is None or isinstance(shape, SearchStrategy):
        return (shapes() if shape is None else shape).flatmap(make)
    legal = isinstance(shape, tuple) and all(isinstance(n, int) and n >= 0 for n in shape)
    _check(name, "shape", shape, legal, "a tuple of integers ≥ 0, a strategy of such, or None")
    return make(shape)


# Numbers


def _nearest(centre: int, low: int, high: int) -> list[int]:
    """low … high in the order in which to shrink: those near the centre first, of two equally near the larger."""
    return sorted(range(low, high + 1), key=lambda k: (abs(k - centre), -k))


@st.composite
def choices(draw: DrawFn, values: Sequence[float], shape: Shape) -> NDArray[Any]:
    """An array of some of the values; it shrinks to the first."""
    table, n = np.asarray(values), math.prod(shape)
    digit = np.min_scalar_type(len(table) - 1).newbyteorder(">")
    raw = draw(st.binary(min_size=n * digit.itemsize, max_size=n * digit.itemsize))
    # Hypothesis moves what must stay large to the last bytes: read backwards it is the first entry, and others can go
    return np.asarray(table[np.frombuffer(raw, digit)[::-1].astype(int) % len(table)].reshape(shape))


@st.composite
def _made(draw: DrawFn, make: Callable[[NDArray[Any]], NDArray[Any]], values: Sequence[float], shape: Shape) -> Tensor:
    """The tensor that is made of choices; a `map` would have reports print how it was made, where that is shorter."""
    return Tensor(np.asarray(make(draw(choices(values, shape)))))


@st.composite
def _distinct(draw: DrawFn, cells: Sequence[int], shape: Shape, offset: float, gap: float) -> Tensor:
    """Different numbers (k + offset)·gap; it shrinks to those of the first cells."""
    left, places = list(cells), draw(choices(range(len(cells)), (math.prod(shape),)))
    k = np.array([left.pop(place % len(left)) for place in places], dtype=np.float64)
    return Tensor(((k + offset) * gap).reshape(shape))


def _spaced(
    name: str, shape: Shapes, gap: float, limit: float | None, offset: float = 0.5, positive: bool = False
) -> SearchStrategy[Tensor]:
    """Different numbers (k + offset)·gap, below the limit."""
    _check(name, "gap", gap, 0 < gap < math.inf, "positive")

    def fill(shape: Shape) -> SearchStrategy[Tensor]:
        n = math.prod(shape)
        room = int(min(max(12, n if positive else math.ceil(n / 2)), math.inf if limit is None else limit / gap))
        cells = [*range(room), *([] if positive else range(-1, -room - 1, -1))]
        _check(name, "limit", limit, len(cells) >= n, f"such that {n} numbers fit {gap} apart")
        return _distinct(cells, shape, offset, gap)

    return _shaped(name, shape, fill)


def spaced(shape: Shapes = None, gap: float = 0.25, limit: float | None = None) -> SearchStrategy[Tensor]:
    """Different odd multiples of gap/2, below the limit: gap apart, and gap/2 from 0 and from every multiple of gap.

    Shrinks to 0.125, 0.375, 0.625 …, or −0.125, −0.375 … where it must be negative.
    """
    return _spaced("spaced", shape, gap, limit)


def positive(shape: Shapes = None, gap: float = 0.25, limit: float | None = None) -> SearchStrategy[Tensor]:
    """Spaced numbers that are positive, so at least gap/2. Shrinks to 0.125, 0.375, 0.625 …"""
    return _spaced("positive", shape, gap, limit, positive=True)


def broadcastable(
    n: int = 2, shape: Shapes = None, gap: float = 0.25, limit: float | None = None
) -> SearchStrategy[tuple[Tensor, ...]]:
    """n tensors that broadcast to the shape, numbers gap apart within each and never tied, at multiples of gap, between them.

    Tensor i holds (k + 2⁻ⁱ⁻¹)·gap, so that no sum or difference of entries from different tensors is a multiple of gap:
    all are at least gap·2⁻ⁿ away. Shrinks to n tensors of one shape, 0.125 in the first and 0.0625 in the second.
    """
    _check("broadcastable", "n", n, n >= 1, "at least 1")
    _check("broadcastable", "gap", gap, 0 < gap < math.inf, "positive")

    def fill(whole: Shape) -> SearchStrategy[tuple[Tensor, ...]]:
        # bit i of an axis: it has length 1 in tensor i; 2ⁿ − 1, where nobody has its length, is left out
        narrow = st.tuples(choices(range(2**n - 1), (len(whole),)), st.integers(0, 2**n - 1))
        return narrow.flatmap(lambda drawn: st.tuples(*[one(whole, i, *drawn) for i in range(n)]))

    def one(whole: Shape, i: int, bits: NDArray[Any], cut: int) -> SearchStrategy[Tensor]:
        lost = [bool(b >> i & 1) for b in bits]
        start = [*lost, False].index(False) if cut >> i & 1 else 0  # leading axes of length 1 may be missing
        shape = tuple([1 if gone else side for gone, side in zip(lost, whole, strict=True)])[start:]
        return _spaced("broadcastable", shape, gap, limit, offset=0.5 ** (i + 1))

    return _shaped("broadcastable", shape, fill)


def grid(shape: Shapes = None, step: float = 0.5, limit: float = 2.0) -> SearchStrategy[Tensor]:
    """Multiples of the step up to ±limit; ties and zeros are welcome, to meet the kinks. Shrinks to 0."""
    _check("grid", "step", step, 0 < step < math.inf, "positive")
    _check("grid", "limit", limit, 0 <= limit < math.inf, "at least 0")
    room = int(limit / step)
    return _shaped("grid", shape, lambda s: _made(lambda k: k * float(step), _nearest(0, -room, room), s))


def probabilities(shape: Shapes = None) -> SearchStrategy[Tensor]:
    """Sixteenths from 1/16 to 15/16. Shrinks to 0.5."""
    return _shaped("probabilities", shape, lambda s: _made(lambda k: k / 16, _nearest(8, 1, 15), s))


def simplex(shape: Shapes = None, dim: int = -1) -> SearchStrategy[Tensor]:
    """Positive numbers that sum to 1 along dim, each at least 1/(8n) on an axis of n. Shrinks to 1/n."""

    def fill(shape: Shape) -> SearchStrategy[Tensor]:
        filled = -len(shape) <= dim < len(shape) and shape[dim] > 0
        _check("simplex", "shape", shape, filled, f"one with entries along dim {dim}")
        return _made(lambda parts: parts / parts.sum(dim, keepdims=True), range(1, 9), shape)

    axes = dim + 1 if dim >= 0 else -dim
    return _shaped("simplex", shapes(axes, max(axes, 3), min_side=1) if shape is None else shape, fill)


def spd(n: int | None = None, condition: float = 1e3) -> SearchStrategy[Tensor]:
    """Symmetric positive definite (n, n), its condition number at most `condition`, up to rounding. Shrinks to the identity."""
    _check("spd", "n", n, n is None or n >= 1, "at least 1")
    _check("spd", "condition", condition, 1 <= condition < math.inf, "at least 1")
    span = int(math.log2(condition))
    return _spd(n, _nearest(0, -(span // 2), span - span // 2))


@st.composite
def _spd(draw: DrawFn, n: int | None, powers: Sequence[int]) -> Tensor:
    n = n or draw(st.integers(1, 4))
    D, v = 2.0 ** draw(choices(powers, (n,))), draw(choices(_nearest(0, -3, 3), (n,)))
    Q = np.eye(n) - 2 * np.outer(v, v) / max(v @ v, 1)  # a reflection, or the identity for v = 0
    A = (Q * D) @ Q.T
    return Tensor((A + A.T) / 2)


def labels(classes: int, shape: Shapes = None, ignore_index: int | None = None) -> SearchStrategy[Tensor]:
    """int64 labels 0 … classes − 1, and some ignore_index where one is given. Shrinks to 0. Soft labels are `simplex`."""
    _check("labels", "classes", classes, classes >= 1, "at least 1")
    values = [*range(classes), *([] if ignore_index is None else [ignore_index])]
    return _shaped("labels", shape, lambda s: _made(lambda k: k.astype(np.int64), values, s))


# Layers


def _pairs(low: int, high: int) -> SearchStrategy[tuple[int, int]]:
    return st.sampled_from([*product(range(low, high + 1), repeat=2)])


BATCH = st.sampled_from((1, 2, 1, 2, 1, 2, 0))
FILTERS = st.tuples(BATCH, st.integers(1, 2), st.integers(1, 2), st.integers(1, 2))  # N, groups, and channels of a group
GEOMETRY = st.tuples(_pairs(1, 3), _pairs(1, 3), _pairs(0, 2), _pairs(1, 2))  # kernel, stride, padding, dilation


def _grown(draw: DrawFn, *least: int) -> Shape:
    """Sides of an image, from the least on."""
    return tuple([max(1, n) + more for n, more in zip(least, draw(_pairs(0, 2)), strict=True)])


def _filled(draw: DrawFn, x: Shape, weight: Shape, outputs: int) -> tuple[Tensor, ...]:
    """x, a weight, and perhaps a bias."""
    return tuple([draw(spaced(shape)) for shape in [x, weight] + [(outputs,)] * draw(st.booleans())])


@st.composite
def convolutions(draw: DrawFn) -> Case:
    """x, weight and perhaps bias, and all options, for `conv2d`. Shrinks to one pixel and 1 × 1 windows side by side."""
    (N, groups, C, F), (kernel, stride, padding, dilation) = draw(FILTERS), draw(GEOMETRY)
    size = _grown(draw, *[d * (k - 1) + 1 - 2 * p for k, p, d in zip(kernel, padding, dilation, strict=True)])
    tensors = _filled(draw, (N, groups * C, *size), (groups * F, C, *kernel), groups * F)
    return Case(tensors, {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups})


@st.composite
def transposed_convolutions(draw: DrawFn) -> Case:
    """x, weight and perhaps bias, and all options, for `conv_transpose2d`. Shrinks as `convolutions` does."""
    (N, groups, C, F), (kernel, stride, padding, dilation) = draw(FILTERS), draw(GEOMETRY)
    extra = tuple([draw(st.integers(0, max(s, d) - 1)) for s, d in zip(stride, dilation, strict=True)])
    geometry = zip(kernel, stride, padding, dilation, extra, strict=True)
    size = _grown(draw, *[math.ceil((2 * p - d * (k - 1) - e) / s) + 1 for k, s, p, d, e in geometry])
    tensors = _filled(draw, (N, groups * C, *size), (groups * C, F, *kernel), groups * F)
    options = {"stride": stride, "padding": padding, "output_padding": extra, "groups": groups, "dilation": dilation}
    return Case(tensors, options)


@st.composite
def poolings(draw: DrawFn, average: bool = False) -> Case:
    """x and options for `max_pool2d`, or with `count_include_pad` for `avg_pool2d`. Shrinks to one pixel."""
    N, C, kernel, stride = draw(BATCH), draw(st.integers(1, 2)), draw(_pairs(1, 3)), draw(_pairs(1, 3))
    padding = tuple([draw(st.integers(0, k // 2)) for k in kernel])
    size = _grown(draw, *[k - 2 * p for k, p in zip(kernel, padding, strict=True)])
    options = {"kernel_size": kernel, "stride": stride, "padding": padding}
    return Case((draw(spaced((N, C, *size))),), options | ({"count_include_pad": draw(st.booleans())} if average else {}))


# Jacobians


def jacobians(
    tasks: int | None = None, parameters: int | None = None, kind: str | None = None
) -> SearchStrategy[NDArray[np.float64]]:
    """One row of gradient per task, (K, P), of a kind or of any.

    generic: full rank. conflicting: some two rows with a negative inner product. parallel: all rows multiples of one, of
    either sign. rank_deficient: rank < min(K, P), down to 0. zero_row: at least one. scaled: rows times 1e-10 … 1e15.
    """
    _check("jacobians", "kind", kind, kind is None or kind in KINDS, f"one of {', '.join(KINDS)}")
    _check("jacobians", "tasks", tasks, tasks is None or tasks >= 1 + (kind == "conflicting"), "at least 1, 2 to conflict")
    _check("jacobians", "parameters", parameters, parameters is None or parameters >= 1, "at least 1")
    kinds = [kind] if kind else [k for k in KINDS if k != "conflicting" or tasks != 1]
    return st.sampled_from(kinds).flatmap(lambda kind: _jacobian(kind, tasks, parameters))


@st.composite
def _jacobian(draw: DrawFn, kind: str, tasks: int | None, parameters: int | None) -> NDArray[np.float64]:
    def numbers(*shape: int) -> NDArray[np.float64]:
        return draw(spaced(shape)).array

    related = kind in ("conflicting", "parallel", "rank_deficient")
    K = tasks or draw(st.integers(1 + related, 4))
    P = parameters or draw(st.integers(1 + (kind == "rank_deficient"), 5))
    if kind == "parallel":
        return numbers(K, 1) * numbers(P)
    if kind == "rank_deficient":
        rank = draw(st.integers(0, min(K, P) - 1))
        return numbers(K, rank) @ numbers(rank, P)
    J = numbers(K, P)
    if kind == "generic":
        assume(np.linalg.matrix_rank(J) == min(K, P))
    elif kind == "conflicting":
        i, j = draw(st.sampled_from([*combinations(range(K), 2)]))
        assume(J[i] @ J[j] != 0)
        J[j] *= -np.sign(J[i] @ J[j])
    elif kind == "zero_row":
        J[draw(st.integers(0, K - 1))] = 0
    else:
        J *= draw(choices(SCALES, (K, 1)))
    return J


# Modules

SMOOTH = [nn.Tanh, nn.Sigmoid, nn.GELU, nn.Softplus, partial(nn.Dropout, 0.0)]
KINKED = [nn.ReLU, nn.LeakyReLU]


def _layers(shape: Shape, smooth: bool) -> list[list[Callable[[], nn.Module]]]:
    """The layers for an input (N, C) or (N, C, H, W), by kind. None normalises 2 numbers, of which only signs would be left."""
    (_, C, *image), each = shape, math.prod(shape) // shape[1]
    kinds: list[list[Any]] = [[*SMOOTH, *KINKED * (not smooth)]]
    if image:
        windows = [*product(*[range(1, min(n, 2) + 1) for n in image])]
        frames = ((0, 0), (1, 0), (0, 1)) if math.prod(image) < 9 else ((0, 0),)
        kinds += [[partial(nn.Conv2d, C, n, window, padding=p) for n, window, p in product((1, 2), windows, frames)]]
        kinds += [[partial(pool, window) for window in windows] for pool in [nn.AvgPool2d] + [nn.MaxPool2d] * (not smooth)]
        kinds += [[nn.Flatten], [partial(nn.BatchNorm2d, C)] * (each > 2)]
    else:
        kinds += [[partial(nn.Linear, C, n) for n in (1, 2, 3) if n * C <= 60], [partial(nn.BatchNorm1d, C)] * (each > 2)]
        kinds += [[partial(nn.Softmax, 1), partial(nn.LogSoftmax, 1)] * (C > 1), [partial(nn.LayerNorm, C)] * (C > 2)]
    return [kind for kind in kinds if kind]


@st.composite
def modules(draw: DrawFn, smooth: bool = False) -> tuple[nn.Module, Tensor]:
    """A Sequential of one to four layers in float64, and an input. `smooth` leaves out what has kinks: ReLU, max pooling.

    Parameters and running statistics are sixteenths from a drawn seed. Shrinks to a Tanh of one number.
    """
    shape = draw(st.one_of(_pairs(1, 4), st.tuples(*[st.integers(1, 3)] * 4)))
    x, layers, before = draw(spaced(shape)), list[nn.Module](), default_generator.rng
    default_generator.rng = rng = np.random.default_rng(draw(st.integers(0, 2**16)))
    try:
        for _ in range(draw(st.integers(1, 4))):
            kind = draw(st.sampled_from(_layers(shape, smooth)))
            layers.append(draw(st.sampled_from(kind))().double().eval())  # in evaluation a batch may be of zeros
            shape = layers[-1](Tensor(np.zeros(shape))).shape
    finally:
        default_generator.rng = before  # where others draw nothing has happened
    module = nn.Sequential(*layers).train()
    for p in module.parameters():
        p.data = Tensor((rng.integers(-8, 8, p.shape) + 0.5) / 8)
    for b in [b for b in module.buffers() if b.dtype == np.float64]:
        b.data = Tensor((rng.integers(0, 8, b.shape) + 0.5) / 8)
    return module, x


# Tests of one line


def given_grads(
    f: Callable[..., Any],
    /,
    *cases: SearchStrategy[Any],
    check: Callable[..., Any] = gradcheck,
    **arguments: SearchStrategy[Any],
) -> Callable[..., Any]:
    """A property test: the gradients of f agree with differences, for arguments drawn by name, or all at once by one strategy.

        test_swish = given_grads(swish, x=spaced())

        @given_grads(F.conv2d, convolutions())
        def test_conv2d(input, weight, *bias, **options): ...

    The second form goes on with the function below, called with what was drawn, once its gradients are right. A strategy
    given by position draws a tensor, a tuple of tensors, or a Case. Points at kinks are passed over. `check` is `gradcheck`,
    or a partial of it with other options; its seed is drawn too.
    """
    name = name_of(f)
    _check("given_grads", "cases", len(cases), len(cases) + bool(arguments) == 1, "one strategy, or strategies by name")
    for key, strategy in [*enumerate(cases), *arguments.items()]:
        if not isinstance(strategy, SearchStrategy):
            raise TypeError(f"given_grads: {name}: {key} must be a strategy, as spaced(), got {type(strategy).__name__}")
    if arguments:
        try:
            signature_of(f).bind(**arguments)
        except TypeError as error:
            raise TypeError(f"given_grads: {name}{signature_of(f)}: {error}") from None
    seed = "seed" if "seed" not in arguments else "gradcheck_seed"

    def make(test: Callable[..., Any] | None = None) -> Callable[..., Any]:
        def body(**drawn: Any) -> None:
            chosen = drawn.pop(seed)
            tensors, named = as_call(drawn["case"]) if cases else ((), drawn)
            bound = signature_of(f).bind(*tensors, **named)
            report = check(partial(f, **bound.kwargs) if bound.kwargs else f, *bound.args, seed=chosen, raise_exception=False)
            event(report.verdict)
            assume(report.verdict != "inconclusive")
            if not report:
                raise GradientError(report)
            if test is not None:
                test(*tensors, **named)

        body.__name__ = body.__qualname__ = name if test is None else test.__name__
        body.__doc__ = None if test is None else test.__doc__
        body.__module__ = f.__module__ if test is None else test.__module__
        return given(**{seed: st.integers(0, 2**16)}, **({"case": cases[0]} if cases else arguments))(body)

    def property_test(test: Callable[..., Any] | None = None) -> Any:
        __tracebackhide__ = True
        if test is not None:
            return make(test)
        run = settings(deadline=None, phases=PHASES)(make())
        vars(run).update({key: value for key, value in vars(property_test).items() if key.startswith("_hypothesis")})
        return run()  # with what @reproduce_failure has left on this function

    property_test.__doc__ = f"The gradients of {name} agree with differences."
    return property_test


def as_call(case: Any) -> Case:
    """A drawn tensor, tuple of tensors, or Case, as tensors and options."""
    return case if isinstance(case, Case) else Case(case if isinstance(case, tuple) else (case,), {})


# Profiles

PHASES = tuple(phase for phase in Phase if phase is not Phase.explain)  # it takes most of the time to name lines of the checker


def register_profiles() -> None:
    """Register the profiles lesson, dev, ci and deep, for `hypothesis.settings.load_profile`; none of them is loaded."""
    common = settings(settings.get_profile("default"), deadline=None, print_blob=True, phases=PHASES)
    settings.register_profile("lesson", common, max_examples=25, derandomize=True, database=None)
    settings.register_profile("dev", common, max_examples=40)
    settings.register_profile("ci", common, max_examples=40, derandomize=True, database=None)
    settings.register_profile("deep", common, max_examples=2000)
