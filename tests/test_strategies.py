"""Strategies: what each promises holds of all it draws, the check of that promise can fail, and what it draws shrinks well."""

import math
import os
import subprocess
import sys
from random import Random

import numpy as np
import pytest
from hypothesis import Phase, find, given, settings
from hypothesis import strategies as st

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import nn
from minimtl.testing import strategies as our

GAP = 0.25


def offset(x, gap=GAP):
    """How far the numbers lie from the nearest multiple of gap."""
    return np.abs(x / gap - np.round(x / gap)).min(initial=math.inf) * gap


def apart(x, gap=GAP):
    return np.diff(np.sort(x, axis=None)).min(initial=math.inf) >= gap * (1 - 1e-9)


def search(strategy, condition, *phases, seed=0):
    """The first thing drawn that meets the condition, or with Phase.shrink what Hypothesis makes of it."""
    options = settings(max_examples=2000, database=None, phases=(Phase.generate, *phases))
    return find(strategy, condition, settings=options, random=Random(seed))


# What is promised: of an array, or of what else is drawn


def is_spaced(x):
    return apart(x) and offset(x) >= GAP / 2


def broadcasts_untied(tensors):
    arrays = [t.array for t in tensors]
    np.broadcast_shapes(*[a.shape for a in arrays])
    pairs = [(a, b) for i, a in enumerate(arrays) for b in arrays[:i]]
    between = [z for a, b in pairs for z in (np.subtract.outer(a, b), np.add.outer(a, b))]
    return all(map(apart, arrays)) and all(offset(z) >= GAP / 2 ** len(arrays) for z in [*arrays, *between])


def is_simplex(x):
    return np.allclose(x.sum(-1), 1, rtol=1e-12) and bool((x >= 1 / (8 * x.shape[-1])).all())


def is_spd(x):
    """Also of a condition number of at most 1000."""
    values = np.linalg.eigvalsh(x)
    return np.array_equal(x, x.T) and values[0] > 0 and values[-1] <= values[0] * 1000 * (1 + 1e-9)


def is_label(x):
    return x.dtype == np.int64 and bool((((x >= 0) & (x < 3)) | (x == -100)).all())


def rank(J):
    return np.linalg.matrix_rank(J)


def is_scaled(J):
    """Some power of ten makes each row odd eighths."""
    rows = [[J[i] / scale * 8 for scale in our.SCALES] for i in range(len(J))]
    return all(any(np.allclose(row % 2, 1, atol=1e-6) and abs(row).max() < 200 for row in scaled) for scaled in rows)


KINDS = {
    "generic": (lambda J: rank(J) == min(J.shape), [[1.0, 2.0], [2.0, 4.0]]),
    "conflicting": (lambda J: (J @ J.T).min() < 0, [[1.0, 0.0], [0.0, 1.0]]),
    "parallel": (lambda J: rank(J) == 1 and J.all(), [[1.0, 2.0], [2.0, 5.0]]),
    "rank_deficient": (lambda J: rank(J) < min(J.shape), [[1.0, 2.0], [2.0, 5.0]]),
    "zero_row": (lambda J: not J.any(1).all(), [[1.0, 0.0], [0.0, 1.0]]),
    "scaled": (is_scaled, [[0.125], [2.0]]),
}
a = np.array
# strategy, promise, and samples that break the promise
NUMBERS = [
    pytest.param(our.spaced(), is_spaced, [a([0.125, 0.125]), a([0.125, 0.25]), a(0.0), a(0.3)], id="spaced"),
    pytest.param(our.spaced((5, 9)), is_spaced, [a([0.125, 0.125])], id="spaced, many"),
    pytest.param(our.spaced((6,), limit=0.75), lambda x: is_spaced(x) and abs(x).max() < 0.75, [a(0.875)], id="spaced, full"),
    pytest.param(our.positive(), lambda x: is_spaced(x) and (x > 0).all(), [a(-0.125), a(0.0)], id="positive"),
    pytest.param(our.grid(), lambda x: np.isin(x, np.arange(-4, 5) / 2).all(), [a(0.25), a(2.5)], id="grid"),
    pytest.param(our.probabilities(), lambda x: (np.abs(x - 0.5) <= 0.4375).all(), [a(0.0), a(1.0)], id="probabilities"),
    pytest.param(our.simplex(), is_simplex, [a([0.5, 0.4]), a([0.0, 1.0]), a([1.5, -0.5])], id="simplex"),
    pytest.param(our.simplex(dim=1), lambda x: is_simplex(x.swapaxes(1, -1)), [np.full((2, 3), 0.5)], id="simplex, dim"),
    pytest.param(our.spd(), is_spd, [-np.eye(2), a([[1.0, 0.1], [0.0, 1.0]]), np.diag([1.0, 1001.0])], id="spd"),
    pytest.param(our.labels(3, None, -100), is_label, [a([0.0]), a([3]), a([-1])], id="labels"),
]
JACOBIANS = [pytest.param(our.jacobians(kind=k), promise, [a(bad)], id=k) for k, (promise, bad) in KINDS.items()]


@pytest.mark.parametrize(("strategy", "promise", "broken"), NUMBERS + JACOBIANS)
def test_promise(strategy, promise, broken):
    for sample in broken:
        assert not promise(sample), f"the check lets {sample} pass"

    @given(strategy)
    def check(x):
        if not isinstance(x, np.ndarray):
            assert not x.requires_grad
            x = x.array
        assert x.dtype in (np.float64, np.int64)
        assert promise(x)

    check()


@pytest.mark.parametrize("n", [1, 2, 3])
def test_broadcastable(n):
    for bad in ([0.125, 0.125], [0.0625, 0.3125], [0.125, 0.0], [0.0625, 0.1875]):
        assert not broadcasts_untied([mm.tensor(x, dtype="float64") for x in bad])
    with pytest.raises(ValueError):
        broadcasts_untied([mm.zeros(2), mm.zeros(3)])

    @given(our.broadcastable(n))
    def check(tensors):
        assert len(tensors) == n
        assert broadcasts_untied(tensors)

    check()


@given(our.broadcastable(3, shape=(2, 1, 3)))
def test_broadcastable_reaches_the_shape(tensors):
    assert np.broadcast_shapes(*[t.shape for t in tensors]) == (2, 1, 3)


SHAPES = [(), (0,), (1,), (4, 4, 4)]


@pytest.mark.parametrize("wanted", SHAPES, ids=str)
def test_shapes_reach_both_ends(wanted):
    assert search(our.shapes(), lambda s: s == wanted) == wanted


def test_shapes_are_rarely_empty():
    drawn = []

    @settings(max_examples=500, database=None, derandomize=True)
    @given(our.spaced())
    def collect(x):
        drawn.append(x.shape)

    collect()
    assert 0.01 < np.mean([0 in shape for shape in drawn]) < 0.3
    assert all(len(shape) <= 3 and max(shape, default=0) <= 4 for shape in drawn)


@given(st.data())
def test_every_shape_argument_takes_a_tuple_or_a_strategy(data):
    shape = (2, 3)
    for of_shape in (our.spaced, our.grid, our.positive, our.probabilities, our.simplex, lambda s: our.labels(3, s)):
        assert data.draw(of_shape(shape)).shape == shape
        assert data.draw(of_shape(st.just(shape))).shape == shape


# Layers

LAYERS = [
    pytest.param(our.convolutions(), F.conv2d, {"stride", "padding", "dilation", "groups"}, id="conv2d"),
    pytest.param(
        our.transposed_convolutions(),
        F.conv_transpose2d,
        {"stride", "padding", "output_padding", "dilation", "groups"},
        id="conv_transpose2d",
    ),
    pytest.param(our.poolings(), F.max_pool2d, {"kernel_size", "stride", "padding"}, id="max_pool2d"),
    pytest.param(
        our.poolings(average=True), F.avg_pool2d, {"kernel_size", "stride", "padding", "count_include_pad"}, id="avg_pool2d"
    ),
]


@pytest.mark.parametrize(("cases", "operation", "options"), LAYERS)
def test_cases_are_legal(cases, operation, options):
    """The operations refuse what is not: a stride of 0, say."""

    @given(cases)
    def check(case):
        assert set(case.options) == options
        assert all(isinstance(o, (int, tuple)) for o in case.options.values())
        assert all(is_spaced(t.array) for t in case.tensors)
        y = operation(*case.tensors, **case.options)
        assert np.isfinite(y.array).all()
        assert min(y.shape[2:]) >= 1
        with pytest.raises(ValueError, match="stride"):
            operation(*case.tensors, **case.options | {"stride": (0, 1)})

    check()


@pytest.mark.parametrize(("cases", "operation", "options"), LAYERS)
def test_cases_reach_every_option(cases, operation, options):
    """Each option that is a pair is met with two different numbers, groups above 1, with a bias and without."""
    wanted = [lambda c, o=o: isinstance(c.options[o], tuple) and len({*c.options[o]}) == 2 for o in sorted(options)]
    wanted = [w for w, o in zip(wanted, sorted(options)) if o not in ("groups", "count_include_pad")]
    wanted += [lambda c: c.options["groups"] > 1, lambda c: len(c.tensors) == 3] if "groups" in options else []
    for condition in wanted:
        search(cases, condition)


# Modules


def difference(module, x, v, direction, h=1e-5):
    """The derivative of ⟨v, module(x)⟩ in the direction, measured."""
    up, down = (module(mm.tensor(x.array + step * direction)).array for step in (h, -h))
    return float((v * (up - down)).sum() / (2 * h))


@given(our.modules(smooth=True), st.integers(0, 2**16))
def test_smooth_modules_have_the_derivative_measured(drawn, seed):
    module, x = drawn
    rng = np.random.default_rng(seed)
    direction, y = rng.standard_normal(x.shape), module(x.requires_grad_())
    v = rng.standard_normal(y.shape)
    (g,) = mm.grad(y, x, mm.tensor(v), allow_unused=True)
    assert g is not None
    ours = float((g.array * direction).sum())
    assert abs(ours - difference(module, x, v, direction)) <= 1e-5 * (1 + abs(ours))


@given(our.modules())
def test_modules_are_small_float64_sequences_that_take_their_input(drawn):
    module, x = drawn
    assert isinstance(module, nn.Sequential) and 1 <= len(module) <= 4 and module.training
    before = repr(module)
    y = module(x)
    assert y.dtype == x.dtype == np.float64
    assert np.isfinite(y.array).all()
    assert all(p.array.size <= 60 and p.dtype == np.float64 and (p.array * 16 % 2 == 1).all() for p in module.parameters())
    assert repr(module) == before and before.startswith("Sequential(\n  (0): ")


def test_modules_leave_the_default_generator_alone():
    mm.manual_seed(3)
    search(our.modules(), lambda drawn: "Linear" in repr(drawn[0]))
    ours = mm.rand(2).array
    assert np.array_equal(ours, mm.rand(2, generator=mm.Generator(3)).array)


@pytest.mark.parametrize(
    "layer", ["Linear", "Conv2d", "BatchNorm1d", "BatchNorm2d", "LayerNorm", "ReLU", "MaxPool2d", "Flatten"]
)
def test_modules_reach_every_layer(layer):
    def holds(drawn):
        return layer in repr(drawn[0])

    search(our.modules(), holds)
    if layer in ("ReLU", "MaxPool2d"):

        @given(our.modules(smooth=True))
        def never(drawn):
            assert not holds(drawn)

        never()


# Shrinking: of several searches the typical result is the smallest


def shrunk(strategy, condition):
    """The median, by size, of what five searches end with."""
    found = [search(strategy, condition, Phase.shrink, seed=seed) for seed in range(5)]

    def size(item):
        return sum(map(size, item)) if isinstance(item, tuple) else item.array.size if isinstance(item, mm.Tensor) else 0

    return sorted(found, key=lambda item: size(item.tensors if isinstance(item, our.Case) else item))[2]


def test_spaced_shrinks_to_one_number():
    assert shrunk(our.spaced(), lambda x: True).array.tolist() == 0.125
    assert shrunk(our.spaced(), lambda x: (x.array < 0).any()).array.tolist() == -0.125
    assert shrunk(our.spaced(), lambda x: (x.array > 1).any()).array.tolist() == 1.125
    assert shrunk(our.spaced(shape=(2, 2)), lambda x: True).array.tolist() == [[0.125, 0.375], [0.625, 0.875]]


def test_other_numbers_shrink_to_readable_ones():
    assert shrunk(our.grid((2,)), lambda x: True).array.tolist() == [0, 0]
    assert shrunk(our.probabilities(), lambda x: True).array.tolist() == 0.5
    assert shrunk(our.simplex((2,)), lambda x: True).array.tolist() == [0.5, 0.5]
    assert shrunk(our.labels(5, ignore_index=-100), lambda x: (x.array == -100).any()).array.tolist() == -100
    assert np.array_equal(shrunk(our.spd(3), lambda x: True).array, np.eye(3))
    assert [t.array.tolist() for t in shrunk(our.broadcastable(), lambda x: True)] == [0.125, 0.0625]


def test_cases_shrink_to_the_option_that_matters():
    x, w = (case := shrunk(our.convolutions(), lambda c: max(c.options["padding"]) > 0)).tensors
    assert (x.array.item(), w.array.item()) == (0.125, 0.125)
    assert case.options == {"stride": (1, 1), "padding": (0, 1), "dilation": (1, 1), "groups": 1}
    case = shrunk(our.poolings(), lambda c: c.options["kernel_size"][0] > 1)
    assert case.options == {"kernel_size": (2, 1), "stride": (1, 1), "padding": (0, 0)}


def test_jacobians_shrink_to_short_rows():
    J = shrunk(our.jacobians(), lambda J: (J @ J.T < 0).any())
    assert J.shape == (2, 1)
    assert abs(J).max() < 0.5


def test_modules_shrink_to_one_layer_and_one_number():
    module, x = shrunk(our.modules(), lambda drawn: "Conv2d" in repr(drawn[0]))
    assert len(module) == 1
    assert x.array.tolist() == [[[[0.125]]]]


def test_reports_print_numbers_and_not_how_they_were_made():
    @settings(database=None)
    @given(our.grid((2, 2)), our.spaced((2, 2)), our.spd(2))
    def fails(x, y, z):
        raise AssertionError

    with pytest.raises(AssertionError) as caught:
        fails()
    report = "".join(caught.value.__notes__)
    assert all(f"{name}=tensor([[" in report for name in "xyz")


# Refusals


@pytest.mark.parametrize(
    ("draws", "names"),
    [
        (lambda: our.shapes(min_dims=4), "shapes: min_dims"),
        (lambda: our.shapes(min_side=-1), "shapes: min_side"),
        (lambda: our.spaced(gap=0), "spaced: gap"),
        (lambda: our.spaced(gap=math.nan), "spaced: gap"),
        (lambda: our.spaced((2, -1)), "spaced: shape"),
        (lambda: our.spaced(3), "spaced: shape"),
        (lambda: our.spaced((9,), limit=1), "spaced: limit"),
        (lambda: our.positive((5,), limit=1), "positive: limit"),
        (lambda: our.broadcastable(0), "broadcastable: n"),
        (lambda: our.broadcastable(gap=-1), "broadcastable: gap"),
        (lambda: our.grid(step=0), "grid: step"),
        (lambda: our.grid(limit=-1), "grid: limit"),
        (lambda: our.simplex(()), "simplex: shape"),
        (lambda: our.simplex((2, 0)), "simplex: shape"),
        (lambda: our.simplex((2,), dim=1), "simplex: shape"),
        (lambda: our.spd(0), "spd: n"),
        (lambda: our.spd(condition=0.5), "spd: condition"),
        (lambda: our.labels(0), "labels: classes"),
        (lambda: our.jacobians(kind="foo"), "jacobians: kind"),
        (lambda: our.jacobians(tasks=0), "jacobians: tasks"),
        (lambda: our.jacobians(tasks=1, kind="conflicting"), "jacobians: tasks"),
        (lambda: our.jacobians(parameters=0), "jacobians: parameters"),
    ],
)
def test_bad_arguments_are_refused_before_anything_is_drawn(draws, names):
    with pytest.raises(ValueError, match=names):
        draws()


# Profiles


def test_profiles_are_registered_on_demand():
    """In a process of its own: profiles are global."""
    program = """
from hypothesis import settings
known = set(settings._profiles)
from minimtl.testing.strategies import register_profiles
assert set(settings._profiles) == known
current = settings.default
register_profiles()
assert settings.default.max_examples == current.max_examples
for name in ("lesson", "dev", "ci", "deep"):
    p = settings.get_profile(name)
    print(name, p.max_examples, p.derandomize, p.database is not None, p.deadline, p.print_blob)
"""
    quiet = {key: value for key, value in os.environ.items() if key != "CI"}  # with it Hypothesis loads its own profile "ci"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, env=quiet)
    assert done.stdout.splitlines() == [
        "lesson 25 True False None True",
        "dev 40 False True None True",
        "ci 40 True False None True",
        "deep 2000 False True None True",
    ]
