"""The gradient check at its limits: kinks, sums that hide, numbers of any size, what cannot be measured; and what it never flags."""

import copy
import pickle

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_gradcheck import RNG, X, Y, swish, wrong

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import nn
from minimtl.testing import GradientError, gradcheck, planted

# What is left open


def test_a_kink_is_inconclusive_and_named():
    for kinked in (F.relu, mm.abs, lambda x: x.clip(0.0, None), lambda x: mm.maximum(x, 0.0)):
        with pytest.raises(GradientError, match=r"1 of \d .* inconclusive") as info:
            gradcheck(kinked, np.array([1.0, 0.0, -1.0]))
        assert info.value.report.verdict == "inconclusive"
        assert "[1] = 0" in str(info.value)
    report = gradcheck(F.relu, np.array([1.0, 0.0, -1.0]), max_inconclusive=0.5)
    assert (report.verdict, report.inconclusive) == ("agrees", 1)


def test_near_a_kink_smaller_steps_decide():
    x = np.array([1e-4, -3e-4, 2e-5, 1.0])
    assert gradcheck(F.relu, x, mode="full").inconclusive == 0
    with pytest.raises(GradientError, match="1 of 4 entries looked at are wrong"):
        gradcheck(wrong(planted.relu, 0, lambda right, G, x: G), x, mode="full")


def test_beside_a_tie_smaller_steps_decide():
    x = np.array([2.9141, -2.9145, 1.0])
    assert gradcheck(lambda x: x.norm(float("inf")), x, mode="full").inconclusive == 0
    wrong = of(lambda x: np.abs(x).max(), lambda G, x: G * np.sign(x) * (np.abs(x) > 2))
    with pytest.raises(GradientError, match="1 of 3 entries looked at are wrong"):
        gradcheck(wrong, x, mode="full")


def test_a_tie_is_inconclusive():
    tied = np.array([[1.0, 1.0, 0.0]])
    assert gradcheck(lambda x: x.max(dim=1).values, tied, raise_exception=False).verdict == "inconclusive"


def test_an_absolute_tolerance_excuses_and_never_certifies():
    f = wrong(planted.sine, 0, lambda right, G, x: right(G) + 1e-4)
    report = gradcheck(f, X, atol=1e-2, raise_exception=False)
    assert report.verdict == "inconclusive"
    assert gradcheck(f, X, atol=1e-2, max_inconclusive=1.0).inconclusive == report.measured
    with pytest.raises(GradientError, match="is wrong"):
        gradcheck(f, X)
    assert gradcheck(planted_sine := mm.differentiable(planted.sine), X, atol=1e-2).inconclusive == 0
    assert gradcheck(planted_sine, X)


def test_the_domain_is_not_left():
    assert gradcheck(mm.log, np.array([1e-6, 1e-3, 1.0, 1e6])).inconclusive == 0
    assert gradcheck(F.binary_cross_entropy, np.array([1e-5, 0.5, 1 - 1e-5]), np.array([0.25, 0.75, 0.5]))
    assert gradcheck(lambda x: (x * 0 - 1).sqrt(), X, raise_exception=False).verdict == "inconclusive"


def of(value, gradient):
    """An operation of one argument with this value and G ↦ gradient(G, x)."""
    return mm.differentiable(lambda x: (value(x), lambda G: gradient(G, x)))


def with_entry(i, change):
    """The gradient of a sine with one entry changed."""

    def gradient(G, x):
        g = G * np.cos(x)
        g.flat[i] = change(g.flat[i])
        return g

    return of(np.sin, gradient)


MANY = RNG.normal(size=10_000)
KINKED = np.where(np.arange(10_000) == 5, 0, np.abs(MANY))
HIDDEN = {
    "one entry of many 1 % off": (with_entry(7, lambda g: 1.01 * g), MANY),
    "one entry of many lost": (with_entry(7, lambda g: 0.0), MANY),
    "one entry of a thousand 0.1 % off": (with_entry(7, lambda g: 1.001 * g), MANY[:1000]),
    "a small one beside a large one": (
        mm.differentiable(lambda x: (x * np.array([1, 1e6]), lambda G: G * np.array([0, 1e6]))), np.array([0.5, 0.7]),
    ),
    "the smallest of several scales": (of(np.square, lambda G, x: 2 * G * x * (x > 1e-3)), np.array([1e-4, 1.0, 100.0])),
    "beside a large constant": (of(lambda x: np.where(np.arange(4) == 0, -1e12, x), lambda G, x: 2 * G * (np.arange(4) != 0)), X),
    "beside a huge argument": (
        mm.differentiable(lambda x, m: (x + m, lambda G: 5 * G, lambda G: G)), X, np.where(np.eye(3, 4) > 0, -3.4e38, 0.0),
    ),
    "beside a huge entry": (of(lambda x: x + 0, lambda G, x: G * np.where(np.abs(x) < 1e3, 5, 1)), np.array([1.0, 1e20, 2.0])),
    "a smoothed kink": (
        mm.differentiable(lambda x: (np.where([True, False], np.sqrt(x * x + 1e-18), x), lambda G: G * [0, 1])), np.array([1e-9, 1.0]),
    ),
    "beside a kink": (of(lambda x: np.maximum(x, 0), lambda G, x: G * (x > 0) * (x != KINKED[7])), KINKED),
    "not a number": (with_entry(5, lambda g: np.nan), X),
    "infinite": (with_entry(5, lambda g: -np.inf), X),
    "only where the incoming gradient is one number": (of(np.sin, lambda G, x: G * np.cos(x) * (1 + (0 in G.strides))), X),
}  # fmt: skip


@pytest.mark.parametrize("case", HIDDEN.values(), ids=HIDDEN)
def test_what_hides_in_a_sum_is_found(case):
    f, *args = case
    with pytest.raises(GradientError):
        gradcheck(f, *args)


ROUGH = {
    "absorbed": (lambda x: (x + 1e9) - 1e9, X),
    "cancelled": (lambda x: (1 + x.exp()).log(), X - 30),
    "cancelled beside 1": (lambda x: -(1 - x.sigmoid()).log(), np.array([25.0, 30.0])),
    "a logarithm near 1": (lambda x: (1 + x).log(), np.array([1e-8, 2e-9])),
    "float32 inside": (lambda x: (x.float() * 2).double().sin(), X),
    "fast": (lambda x: (x * 1e9).sin(), X),
    "of many scales": (mm.sin, np.array([1e-12, 1e12, 1.0])),
    "of many scales, added up": (lambda x: x.sum().reshape(1) * x, np.array([1e-12, 1e6, 3.0])),
    "a large offset": (lambda x: x.sin() + 1e9, X),
    "a slope below rounding": (lambda x: 1 + 1e-11 * x, X),
    "a domain that ends": (mm.sqrt, np.arange(30.0)),
    "absorbed by the output": (lambda x: x + 1e13, X),
    "small beside the output": (lambda x: 1e9 + 1e-5 * x.sin(), X),
}


@pytest.mark.parametrize("mode", ["auto", "full"])
@pytest.mark.parametrize(("f", "x"), ROUGH.values(), ids=ROUGH)
def test_what_cannot_be_measured_is_not_called_wrong(f, x, mode):
    assert gradcheck(f, x, mode=mode, raise_exception=False).verdict != "differs"


def test_what_cannot_be_measured_is_not_called_right():
    wrong = of(lambda x: np.sin(x) + 1e9, lambda G, x: 1.01 * G * np.cos(x))
    assert gradcheck(wrong, X, raise_exception=False).verdict == "inconclusive"
    wrong = of(lambda x: 1 + 1e-11 * x, lambda G, x: 0 * G)
    assert gradcheck(wrong, X, max_inconclusive=1.0, mode="full").worst == 0


LABELS = mm.tensor([0, 2])
SATURATED = {
    "a confident cross entropy": (lambda x: F.cross_entropy(x, LABELS), np.array([[40.0, 0.3, -0.2], [1.0, -300.0, 90.0]])),
    "a log-sum-exp less its maximum": (lambda x: x.logsumexp(1) - x.max(dim=1).values, np.array([[100.0, 1.0], [3.0, 40.0]])),
    "sigmoid": (mm.sigmoid, np.array([20.0, 25.0, 30.0, 35.0, -40.0])),
    "tanh": (mm.tanh, 100 * X),
    "softmax": (lambda x: (30 * x).softmax(1), X),
    "masked attention": (lambda x: (x + np.where(np.eye(3, 4) > 0, -1e9, 0.0)).softmax(1), X),
    "a sum of many scales": (lambda x: (x.exp() * x).sum(), np.array([[18.0, -7.0, 0.5], [3.0, -12.0, 14.0]])),
    "layer norm of three, added up": (lambda x: F.layer_norm(x, (4,)).sum(1), X),
}


@pytest.mark.parametrize("mode", ["auto", "full"])
@pytest.mark.parametrize(("f", "x"), SATURATED.values(), ids=SATURATED)
def test_saturated_functions_agree(f, x, mode):
    assert gradcheck(f, x, mode=mode)


@pytest.mark.parametrize("error", [RuntimeError, IndexError, AssertionError])
def test_a_function_that_fails_at_other_points_does_not_spoil_the_message(error):
    bad = of(np.sin, lambda G, x: 2 * G * np.cos(x))

    def f(x):
        if x.numpy()[0] < 0:
            raise error("outside")
        return bad(x) if x.numpy()[0] < 0.9 else [bad(x), x]

    with pytest.raises(GradientError, match="constant factor: every entry is 2 times"):
        gradcheck(f, np.array([0.5, 1.0]))
    for steep in (of(np.exp, lambda G, x: 2 * G * np.exp(x)), of(lambda x: 1 / (x - 1), lambda G, x: -2 * G / (x - 1) ** 2)):
        with pytest.raises(GradientError, match="ratio      2"):
            gradcheck(steep, np.array([500.0, 3.0]))


def test_a_function_need_not_work_at_points_that_the_check_invents():
    def distinct(x, y):
        if x is y or len(np.unique(x.numpy())) < x.numel():
            raise TypeError("not these")
        return x * y

    assert gradcheck(distinct, X, Y)
    assert gradcheck(lambda x: {"a": x.sin(), **({"b": x} if len(np.unique(x.numpy())) == 12 else {})}, X)


def test_nothing_is_left_behind():
    w, bn = mm.tensor(X, requires_grad=True), nn.BatchNorm1d(4)
    w.grad = mm.ones(3, 4, dtype="float64")
    before = bn.running_mean.tolist()
    gradcheck(lambda x: x * w, X)
    assert gradcheck(bn, X).arguments == ["x (3, 4)", "weight (4,)", "bias (4,)"]
    assert (w.grad.tolist(), bn.running_mean.tolist(), bn.weight.grad) == (np.ones((3, 4)).tolist(), before, None)
    with mm.no_grad():
        assert gradcheck(mm.sin, X)


def test_errors_travel_and_stay_short():
    with pytest.raises(GradientError) as info:
        gradcheck(lambda xs: swish(xs[0]), [X[:1, :2]] * 500)
    assert len(str(info.value)) < 3000
    assert str(pickle.loads(pickle.dumps(info.value))) == str(info.value) == str(copy.copy(info.value))


# What must never be flagged


@pytest.mark.parametrize(
    "f",
    [
        lambda x: x.softmax(1).sum(1),  # constant, up to rounding
        lambda x: F.layer_norm(x, (4,)).sum(1),
        lambda x: (x + 1e6) - 1e6,
        lambda x: x**3 * 1e-30,
        lambda x: x * 1e30,
        lambda x: x * 0,
        lambda x: x - x,
        lambda x: (x * 100).exp(),
        lambda x: (x * 100).tanh(),
        lambda x: mm.zeros(2, dtype="float64"),
        lambda x: x[:0],
        lambda x: x.reshape(-1)[0],
        lambda x: x.round() if hasattr(x, "round") else x * (x > 0).double(),
    ],
)
def test_difficult_and_correct(f):
    assert gradcheck(f, X)


@pytest.mark.parametrize("x", [0.0, 1e-8, 1e8, np.zeros(3), np.zeros((2, 0)), [1e-8, 1e8]])
def test_any_size_of_number(x):
    for f in (lambda x: x**3, lambda x: x**4, lambda x: x * 3, lambda x: x.sin(), lambda x: x.tanh() * x):
        report = gradcheck(f, np.array(x), raise_exception=False)
        assert report.verdict == "agrees" or (report.verdict == "inconclusive" and np.max(np.abs(x)) == 1e8)


@settings(max_examples=30)
@given(scale=st.sampled_from([1e-6, 1e-3, 1e3]), seed=st.integers(0, 2**16))
def test_numbers_of_any_scale_are_never_called_wrong(scale, seed):
    recipe, arrays = planted.correct(np.random.default_rng(seed))
    report = gradcheck(mm.differentiable(recipe), *[scale * a for a in arrays], seed=seed, raise_exception=False)
    assert report.verdict != "differs", str(report)
