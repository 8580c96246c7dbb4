"""The gradient check itself: what it certifies, what it catches, what it leaves open, and what it says."""

import functools

import numpy as np
import pytest
from hypothesis import reproduce_failure, settings
from hypothesis import strategies as st

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import equation, nn
from minimtl.testing import GradientError, gradcheck, gradcheck_module, planted, self_test
from minimtl.testing.strategies import broadcastable, convolutions, given_grads, spaced

RNG = np.random.default_rng(0)
X, Y, SQUARE = RNG.normal(size=(3, 4)), RNG.normal(size=(3, 4)), RNG.normal(size=(3, 3))


def wrong(recipe, which, change):
    return mm.differentiable(planted.changed(recipe, which, change))


@mm.differentiable
def swish(x):
    """y = x σ(x), with the second term of the derivative forgotten."""
    s = 1 / (1 + np.exp(-x))
    return x * s, lambda G: G * s


# What is caught


def test_planted_errors_are_caught_and_correct_operations_pass():
    found = self_test(trials=5, cases=100, seed=1)
    assert found, str(found)
    assert found.share == 1


@pytest.mark.slow
def test_planted_errors_are_caught_and_correct_operations_pass_in_earnest():
    found = self_test()
    assert found, str(found)


def test_a_self_test_tells_a_blind_check_from_a_good_one():
    blind = self_test(trials=3, cases=3, checker=lambda recipe, arrays, seed: False)
    assert not blind
    assert blind.share == 0
    jumpy = self_test(trials=3, cases=3, checker=lambda recipe, arrays, seed: True)
    assert not jumpy
    assert jumpy.flagged == 3
    assert "100.0 %" in str(jumpy)


def keeps_its_own_random_numbers(x, rng=np.random.default_rng(0)):  # noqa: B008
    return x * float(rng.normal())


@mm.differentiable
def writes_to_G(x):
    def gx(G):
        G *= 2
        return G / 2

    return x.copy(), gx


@mm.differentiable
def map_writes_to_x(x):
    def gx(G):
        x[...] = 0
        return G

    return x.copy(), gx


@mm.differentiable
def fails_on_the_way_back(x):
    return x.copy(), lambda G: G[99]


@mm.differentiable
def of_another_dtype(x):
    return x.copy(), lambda G: G.astype("float32")


@mm.differentiable
def reads_memory(x):
    """y = 2 x, where x lies in memory in the usual way."""
    return x * (2.0 if x.flags.c_contiguous else 3.0), lambda G: 2 * G


@mm.differentiable
def gradient_reads_memory(x):
    return 2 * x, lambda G: (2 if x.flags.c_contiguous else 3) * G


@mm.differentiable
def refuses_views(x):
    if 0 in x.strides:
        raise ValueError("no views")
    return x + 0, lambda G: G


class OneForTwo:
    """a b, that gives nothing to b where both are one tensor."""

    __name__ = "one_for_two"

    def __call__(self, a, b):
        return a * b if a is not b else a * b.detach()


@pytest.mark.parametrize(
    ("f", "args", "said"),
    [
        (keeps_its_own_random_numbers, [X], "not deterministic"),
        (writes_to_G, [X], "writes to the gradient"),
        (map_writes_to_x, [X], "writes to the argument x"),
        (fails_on_the_way_back, [X], "way back fails with IndexError"),
        (of_another_dtype, [X], r"float32 \(3, 4\) for an argument of float64"),
        (reads_memory, [X], "the output differs where the arguments are transposed"),
        (gradient_reads_memory, [X], "the gradient of x differs where the arguments are transposed"),
        (refuses_views, [X], "fails where the arguments are repeated by broadcasting"),
        (OneForTwo(), [X, Y], "one tensor as a and b does not get the sum of both"),
        (mm.differentiable(planted.growing(planted.sine)), [X], "a second backward does not add the same|another gradient"),
        (mm.differentiable(planted.writing(planted.sine)), [X], "writes to its argument"),
    ],
    ids=lambda item: getattr(item, "__name__", None),
)
def test_what_must_not_happen_is_named(f, args, said):
    with pytest.raises(GradientError, match=said):
        gradcheck(f, *args)


@pytest.mark.parametrize(
    ("f", "args", "said"),
    [
        (swish, [X], "the product rule has one more term"),
        (wrong(planted.sine, 0, lambda right, G, x: G * np.sin(x)), [X], "the value instead of the derivative"),
        (wrong(planted.sine, 0, lambda right, G, x: -right(G)), [X], "the sign"),
        (wrong(planted.sine, 0, lambda right, G, x: right(G) / 2), [X], "0.5 times .* a 2 too few or too many"),
        (wrong(planted.sine, 0, lambda right, G, x: 0 * G), [X], "0 everywhere"),
        (wrong(planted.sine, 0, lambda right, G, x: np.cos(x)), [X], "incoming gradient of 0"),
        (lambda x: x.detach() * 2, [X], "the graph is cut"),
        (wrong(planted.add, 1, lambda right, G, a, b: G.mean(0)), [X, X[0]], "1/3"),
        (wrong(planted.mean, 0, lambda right, G, x: right(G) * 3), [X], "3: a sum over 3 for their mean"),
        (wrong(planted.matmul, 1, lambda right, G, A, B: right(G).T), [SQUARE, X[:, :3]], "transposed"),
        (wrong(planted.rotated, 0, lambda right, G, x: np.roll(G, 1, 0)), [X], "the right numbers in other places"),
        (wrong(planted.softmax, 0, lambda right, G, x: G * planted.softmax(x)[0] * (1 - planted.softmax(x)[0])), [X], "diagonal"),
        (wrong(planted.relu, 0, lambda right, G, x: G), [X], "wrong only where x < 0: a mask is missing"),
        (wrong(planted.relu, 0, lambda right, G, x: 2 * right(G)), [X], "constant factor: every entry is 2 times"),
        (wrong(planted.sine, 0, lambda right, G, x: right(G) * (x < 0)), [X], "wrong only where x > 0"),
        (wrong(planted.maximum, 0, lambda right, G, x: np.broadcast_to(G, x.shape)), [X], "a mask is missing: .* does not depend"),
        (wrong(planted.sine, 0, lambda right, G, x: right(G) * [[1], [0], [1]]), [X], "zero rows: no gradient for row 1"),
        (wrong(planted.sine, 0, lambda right, G, x: right(G) * (np.arange(4) != 1)), [X], "0 where it is wrong"),
        (wrong(planted.sine, 0, planted.one_entry), [X], "a single entry is wrong"),
    ],
)  # fmt: skip
def test_the_usual_mistakes_are_recognised(f, args, said):
    with pytest.raises(GradientError, match=said):
        gradcheck(f, *args)


def test_a_mistake_is_recognised_at_a_single_number():
    """As Hypothesis shrinks to one: the function is then tried at other points too."""
    with pytest.raises(GradientError, match="wrong only where x < 0"):
        gradcheck(wrong(planted.relu, 0, lambda right, G, x: G), np.array(-0.125))
    with pytest.raises(GradientError, match="the product rule"):
        gradcheck(swish, np.array([0.125]))


def test_of_several_arguments_and_outputs_the_wrong_one_is_named():
    f = wrong(planted.product, 1, lambda right, G, a, b: 2 * right(G))
    with pytest.raises(GradientError, match="argument 1, b, is wrong"):
        gradcheck(f, X, Y)
    assert gradcheck(f, X, Y, wrt="a")
    with pytest.raises(GradientError, match=r"argument 0, x \(of output\['second'\]\), is wrong"):
        gradcheck(lambda x: {"first": x * x, "second": swish(x), "which": x.argmax()}, X)
    with pytest.raises(GradientError, match=r"argument 1, tensors\[1\], is wrong"):
        gradcheck(lambda tensors: f(*tensors), [X, Y])


# What it is told, and what it tells


def test_arguments_are_copied_to_float64_and_left_alone():
    x = mm.tensor(X.astype("float32"), requires_grad=True)
    before = x.tolist()
    report = gradcheck(lambda x, k, w: x.index_select(0, k) * w, x, mm.tensor([0, 2]), X.astype("float32")[:2])
    assert "x, w: copied to float64" in str(report)
    assert report.arguments == ["x (3, 4)", "w (2, 4)"]
    assert (x.tolist(), x.dtype, x.grad) == (before, mm.float32, None)


def test_the_cotangent_may_be_given_and_one_of_ones_is_blind():
    f = wrong(planted.softmax, 0, lambda right, G, x: right(G) / 2)
    assert gradcheck(lambda x: {"a": mm.sin(x)}, X, cotangent={"a": Y})
    assert gradcheck(lambda x: x.sum(), X, cotangent=[3.0])
    for bad in ({"b": Y}, np.zeros((3, 4)), np.full((3, 4), np.nan)):
        with pytest.raises(ValueError, match="cotangent must"):
            gradcheck(mm.sin, X, cotangent=bad)
    for ones in (np.ones((3, 4)), mm.ones(3, 4), [np.ones((3, 4))]):
        assert gradcheck(f, X, cotangent=ones)
    with pytest.raises(GradientError):
        gradcheck(f, X)
    with pytest.raises(ValueError, match=r"cotangent must have the shapes of the outputs, .*\(3, 4\)"):
        gradcheck(f, X, cotangent=np.ones(3))


def test_modes():
    assert gradcheck(mm.sin, X, mode="project").measured == gradcheck(mm.sin, X).measured == 1
    assert gradcheck(mm.sin, np.array([1e-6, 1.0, 1.0])).measured == 2  # small shares apart
    assert gradcheck(mm.sin, X, mode="full").measured == 12
    with pytest.raises(GradientError, match="along a random direction"):
        gradcheck(swish, X, mode="project")
    with pytest.raises(ValueError, match="mode must be"):
        gradcheck(swish, X, mode="fast")


def test_of_many_entries_a_sample_tells_what_is_wrong():
    with pytest.raises(GradientError, match="entries looked at are wrong"):
        gradcheck(wrong(planted.relu, 0, lambda right, G, x: G), RNG.normal(size=(60, 50)))


@pytest.mark.parametrize("wrt", [1, "b", [1], ["b"], [0, "b"]])
def test_wrt(wrt):
    f = wrong(planted.product, 0, lambda right, G, a, b: 2 * right(G))
    if wrt == [0, "b"]:
        with pytest.raises(GradientError):
            gradcheck(f, X, Y, wrt=wrt)
    else:
        assert gradcheck(f, X, Y, wrt=wrt).arguments == ["b (3, 4)"]


def test_arguments_that_make_no_sense_are_refused():
    with pytest.raises(ValueError, match=r"wrt must be among \['x'\] of sin"):
        gradcheck(mm.sin, X, wrt="y")
    with pytest.raises(TypeError, match="needs a floating-point Tensor to differentiate by"):
        gradcheck(mm.sin, mm.tensor([1]))
    with pytest.raises(TypeError, match="must return Tensors, output is ndarray"):
        gradcheck(lambda x: x.numpy(), X)
    with pytest.raises(TypeError, match="returns no floating-point Tensor"):
        gradcheck(lambda x: x > 0, X)
    with pytest.raises(TypeError, match=r"as mm.tensor\(2.0\); got float"):
        gradcheck(mm.sin, 2.0)
    with pytest.raises(TypeError, match="returns float32 for float64"):
        gradcheck(lambda x: x.float(), X)
    with pytest.raises(TypeError, match="needs a Module, got sin"):
        gradcheck_module(mm.sin, X)
    with pytest.raises(ValueError, match="for wrt pass a function"):
        gradcheck(nn.Linear(4, 2), X, wrt=0)
    with pytest.raises(ValueError, match="max_inconclusive"):
        gradcheck(mm.sin, X, max_inconclusive=-1)
    with pytest.raises(ValueError, match="trials and cases"):
        self_test(0, 0)
    with pytest.raises(TypeError, match="no parameters"):
        gradcheck_module(nn.ReLU(), mm.tensor([1]))


def test_the_same_seed_gives_the_same_report_and_no_generator_moves():
    module = nn.Sequential(nn.Linear(4, 3), nn.Dropout(0.5))
    before = mm.manual_seed(3).rng.bit_generator.state
    first, second = (gradcheck(swish, X, seed=5, raise_exception=False) for _ in range(2))
    assert str(first) == str(second)
    gradcheck_module(module, X)
    assert mm.random.default_generator.rng.bit_generator.state == before


def test_the_message_is_short_complete_and_can_be_replayed():
    with pytest.raises(GradientError) as info:
        gradcheck(swish, X[:2, :2], seed=17)
    text = str(info.value)
    assert len(text.splitlines()) <= 25
    parts = ["swish: the gradient of argument 0, x, is wrong", "worst      x[", "yours", "measured", "ratio", "no kink"]
    parts += ["4 of 4 entries looked at", "test_gradcheck.py:", "seed 17", "replay", "cannot see that a value is wrong"]
    for part in parts:
        assert part in text
    replay = next(line for line in text.splitlines() if "replay" in line).split("replay")[1].strip()
    with pytest.raises(GradientError) as again:
        eval(replay, {"testing": mm.testing, "mm": mm, "swish": swish})
    assert str(again.value) == text


def test_the_equation_is_told_where_the_function_has_one(monkeypatch):
    monkeypatch.setattr(equation, "registry", dict(equation.registry))
    mapped = equation.equation("nn.swish", r"y_i = \frac{x_i}{1 + e^{-x_i}}")(swish)
    assert mapped is swish
    with pytest.raises(GradientError, match="equation   nn.swish"):
        gradcheck(swish, X)


def test_an_operation_is_known_by_the_equations_of_its_kernel():
    assert set(equation.ids_of(F.softmax)) == {"nn.softmax", "nn.softmax.vjp"}
    assert equation.ids_of(lambda x: x) == []


# Modules


class Block(nn.Module):
    """A module with a parameter under two names, and a wrong operation if asked for."""

    def __init__(self, wrong):
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)
        self.second.weight = self.first.weight
        self.norm = nn.BatchNorm1d(4)
        self.scale = nn.Parameter(mm.ones(4), requires_grad=False)
        self.wrong = wrong

    def forward(self, x):
        y = self.norm(self.second(self.first(x).tanh())) * self.scale
        return swish(y) if self.wrong else y


def test_a_module_is_checked_by_its_parameters_and_left_as_it_was():
    block = Block(False)
    before = {name: t.array.tobytes() for name, t in block.state_dict().items()}
    report = gradcheck_module(block, X)
    names = ["x", "scale", "first.weight", "first.bias", "second.bias", "norm.weight", "norm.bias"]
    assert [a.split()[0] for a in report.arguments] == names
    assert before == {name: t.array.tobytes() for name, t in block.state_dict().items()}
    assert all(p.grad is None for p in block.parameters())
    with pytest.raises(GradientError, match="Block: the gradient of argument 0, x, is wrong"):
        gradcheck_module(Block(True), X)


def test_an_embedding_has_no_input_to_differentiate_by():
    assert gradcheck_module(nn.Embedding(5, 3), mm.tensor([[1, 4], [1, 0]])).arguments == ["weight (5, 3)"]


# In one line, with Hypothesis

test_tanh = given_grads(mm.tanh, x=spaced())
test_maximum = given_grads(mm.maximum, broadcastable())
test_in_full = given_grads(
    mm.softmax, check=functools.partial(gradcheck, mode="full"), x=spaced((2, 3)), dim=st.integers(-2, 1)
)


@given_grads(F.conv2d, convolutions())
def test_conv2d(input, weight, *bias, **options):
    """Goes on with what was drawn."""
    assert F.conv2d(input, weight, *bias, **options).shape[:2] == (input.shape[0], weight.shape[0])


def test_a_drawn_counterexample_is_small_and_the_message_comes_last():
    for name, test in {
        "one line": given_grads(swish, x=spaced()),
        "decorated": given_grads(swish, x=spaced())(lambda x: None),
    }.items():
        with pytest.raises(GradientError) as info:
            settings(database=None, derandomize=True)(test)() if name == "decorated" else test()
        lines = str(info.value).splitlines()
        assert len(lines) <= 25
        assert "x=tensor(" in lines[0]
        assert any(line.startswith("swish: the gradient") for line in lines)
        assert "definition(x)" in lines[-1]
        assert info.value.report.arguments == ["x ()"]


def test_a_failure_replays_from_the_printed_blob():
    test = given_grads(swish, x=spaced())
    with pytest.raises(GradientError) as info:
        test()
    blob = next(line for line in str(info.value).splitlines() if "@reproduce_failure(" in line)
    replayed = eval(blob.partition("@")[2].partition(" as a decorator")[0], {"reproduce_failure": reproduce_failure})(test)
    with pytest.raises(GradientError, match="x = 0.125"):
        replayed()


def test_strategies_are_given_in_one_of_two_ways():
    for cases, named in [((), {}), ((spaced(), spaced()), {}), ((spaced(),), {"x": spaced()})]:
        with pytest.raises(ValueError, match="given_grads: cases"):
            given_grads(mm.sin, *cases, **named)
    with pytest.raises(TypeError, match="sin: x must be a strategy, as spaced.., got ndarray"):
        given_grads(mm.sin, x=X)
    with pytest.raises(TypeError, match=r"sin\(x.*missing a required argument: 'x'|unexpected keyword argument 'y'"):
        given_grads(mm.sin, y=spaced())


test_of_any_names = given_grads(lambda f, seed: f * seed.sin(), f=spaced((2,)), seed=spaced((2,)))
