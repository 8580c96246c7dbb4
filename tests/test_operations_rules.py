"""Rules that one row of the table cannot state: types that meet, ties, singular points, randomness, what shows whose memory."""

import operator

import numpy as np
import pytest

import minimtl as mm
import minimtl.nn.functional as F


def leaf(*numbers, dtype="float64"):
    return mm.tensor(numbers, dtype=dtype, requires_grad=True)


def gradient(y, *xs):
    """Of the sum of y, as lists."""
    found = [g.tolist() for g in mm.grad(y.sum(), xs)]
    return found if len(xs) > 1 else found[0]


# Types that meet, as in PyTorch

OPERANDS = {
    "uint8": mm.tensor([1, 2], dtype="uint8"),
    "int32": mm.tensor([1, 2], dtype="int32"),
    "int64": mm.tensor([1, 2]),
    "bool": mm.tensor([True, False]),
    "float32": mm.tensor([1.0, 2.0]),
    "float64": mm.tensor([1.0, 2.0], dtype="float64"),
    "int64 0-d": mm.tensor(2),
    "float32 0-d": mm.tensor(2.0),
    "float64 0-d": mm.tensor(2.0, dtype="float64"),
    "2": 2,
    "2.5": 2.5,
    "True": True,
    "np.float64": np.float64(2.5),
    "np.int64": np.int64(2),
}
MEETINGS = [
    ("float32", "int64", "float32"),  # NumPy: float64
    ("float32", "2.5", "float32"),
    ("float32", "np.float64", "float32"),
    ("float32", "float64 0-d", "float32"),
    ("float32", "float64", "float64"),
    ("float64", "float32 0-d", "float64"),
    ("int32", "2", "int32"),
    ("int32", "np.int64", "int32"),
    ("int32", "int64 0-d", "int32"),
    ("int32", "int64", "int64"),
    ("int64", "2.5", "float32"),  # NumPy: float64
    ("int64", "float64 0-d", "float64"),
    ("int64 0-d", "float32", "float32"),
    ("uint8", "int32", "int32"),
    ("bool", "2", "int64"),
    ("bool", "2.5", "float32"),
    ("bool", "uint8", "uint8"),
    ("float32 0-d", "float64 0-d", "float64"),
    ("float32 0-d", "float64", "float64"),
    ("True", "int64", "int64"),
]


@pytest.mark.parametrize(("a", "b", "dtype"), MEETINGS)
@pytest.mark.parametrize("of", [operator.add, operator.mul, operator.sub, mm.maximum, mm.minimum])
def test_types_that_meet(of, a, b, dtype):
    assert of(OPERANDS[a], OPERANDS[b]).dtype == of(OPERANDS[b], OPERANDS[a]).dtype == dtype


def test_integers_give_integers_or_float32():
    k = mm.tensor([1, 4])
    assert {y.dtype.name for y in (k / 2, 1 / k, k / k, k.sqrt(), k.exp(), k**0.5, k * 1.0)} == {"float32"}
    assert {y.dtype.name for y in (k % 3, k**2, -k, k.abs(), k.relu(), k.clip(2, 3), k.sum(), (k > 1).sum())} == {"int64"}


def test_a_gradient_has_the_type_of_its_argument():
    a, b = leaf(1.0, 2.0, dtype="float32"), leaf(3.0, 4.0)
    for y in (a * b, mm.cat([a, b]) ** 2, mm.stack([a, b]) ** 2, mm.where(mm.tensor([True, False]), a, b)):
        assert y.dtype == "float64"
        assert [g.dtype.name for g in mm.grad(y.sum(), [a, b])] == ["float32", "float64"]


def test_tensors_join_in_a_common_type():
    single, double, whole = mm.ones(1), mm.ones(1, dtype="float64"), mm.ones(1, dtype="int64")
    for join in (mm.cat, mm.stack):
        assert [join([single, x]).dtype.name for x in (single, double, whole)] == ["float32", "float64", "float32"]
        assert join([whole, whole]).dtype == "int64"


def test_casts():
    x = leaf(1.5, -2.5)
    assert [y.dtype.name for y in (x.float(), x.double(), x.long(), x.int(), x.bool(), x.to("float16"))] == [
        "float32", "float64", "int64", "int32", "bool", "float16",
    ]  # fmt: skip
    assert x.long().tolist() == [1, -2]
    assert not x.long().requires_grad
    assert x.double() is x
    (g,) = mm.grad((x.float() * 3).sum(), x)
    assert (g.dtype, g.tolist()) == ("float64", [3.0, 3.0])


@pytest.mark.parametrize(
    ("symbol", "function"),
    [
        (operator.add, mm.add), (operator.sub, mm.sub), (operator.mul, mm.mul), (operator.truediv, mm.div),
        (operator.mod, mm.remainder), (operator.pow, mm.pow), (operator.eq, mm.eq), (operator.ne, mm.ne),
        (operator.lt, mm.lt), (operator.le, mm.le), (operator.gt, mm.gt), (operator.ge, mm.ge),
    ],
)  # fmt: skip
def test_symbols_are_functions_on_both_sides(symbol, function):
    x, y = mm.tensor([1.0, 2.5]), mm.tensor([2.0, 2.0])
    for a, b in [(x, y), (x, 2), (3.5, x), (np.float64(2), x), (x, np.int64(2))]:
        result = symbol(a, b)
        assert type(result) is mm.Tensor
        assert result.dtype in ("float32", "bool")
        assert result.tolist() == function(a, b).tolist()


def test_symbols_for_bits_and_signs():
    t, k = mm.tensor([True, False]), mm.tensor([6, 1])
    assert [(~t).tolist(), (t & True).tolist(), (t | True).tolist()] == [[False, True], [True, False], [True, True]]
    assert [(~k).tolist(), (k & 3).tolist(), (k | 8).tolist()] == [[-7, -2], [2, 1], [14, 9]]
    assert [(-k).tolist(), abs(-k).tolist(), (mm.ones(2) @ mm.ones(2)).item()] == [[-6, -1], [6, 1], 2.0]


# Ties and kinks: the subgradients that PyTorch takes


def test_ties_share_or_the_first_takes_all():
    x = leaf(1.0, 3.0, 3.0, 2.0)
    assert gradient(x.max(), x) == [0, 0.5, 0.5, 0]
    assert gradient(x.max(0).values, x) == [0, 1, 0, 0]
    assert gradient((-x).min(), x) == [0, -0.5, -0.5, 0]
    assert gradient((-x).min(0)[0], x) == [0, -1, 0, 0]
    assert (x.max(0).indices.item(), x.argmax().item(), (-x).argmin().item()) == (1, 1, 1)
    a, b = leaf(1.0, 2.0), leaf(1.0, 3.0)
    assert gradient(mm.maximum(a, b), a, b) == [[0.5, 0], [0.5, 1]]
    assert gradient(mm.minimum(a, b), a, b) == [[0.5, 1], [0.5, 0]]
    y = leaf(3.0, -3.0, 1.0)
    assert gradient(y.norm(float("inf")), y) == [0.5, -0.5, 0]


def test_kinks():
    x = leaf(-1.0, 0.0, 1.0)
    assert gradient(x.abs(), x) == [-1, 0, 1]
    assert gradient(x.relu(), x) == [0, 0, 1]
    assert gradient(F.leaky_relu(x, 0.5), x) == [0.5, 0.5, 1]
    assert gradient(x.clip(-1, 0), x) == [1, 1, 0]
    zero = leaf(0.0, 0.0)
    for p in (0.5, 1, 1.5, 2, 3):
        assert gradient(zero.norm(p), zero) == [0, 0]
    assert gradient(zero.std(), zero) == [0, 0]


def test_powers_of_zero():
    a, b = leaf(0.0, 0.0, 0.0, 2.0), leaf(0.0, 1.0, 2.0, 0.0)
    assert (a**b).tolist() == [1, 0, 0, 1]
    assert gradient(a**b, a, b) == [[0, 1, 0, 0], [0, 0, 0, np.log(2.0)]]


def test_a_remainder_agrees_with_its_derivative_where_the_quotient_is_rounded():
    a, b = leaf(1.0), leaf(0.1)  # 1.0 / 0.1 is rounded to 10, and 1.0 % 0.1 is 1.0 − 9 · 0.1
    y = a % b
    assert gradient(y, b) == [-9.0]
    np.testing.assert_allclose(y.numpy(), 1.0 - 9 * 0.1)


# Infinity and NaN come without a warning, as warnings are errors here


def test_singular_points_are_silent():
    x = leaf(0.0, -1.0, float("inf"), float("nan"), 1e308)
    for y in (1 / x, x / 0, x.log(), x.sqrt(), x.exp(), x**-1, x**0.5, x * x, x % 0, x - x, x.softmax(0), x.mean(), x.var()):
        gradient(y, x)
    empty = leaf()
    assert np.isnan([empty.mean().item(), empty.var().item(), empty.std().item(), leaf(1.0).var().item()]).all()
    for y in (empty.mean(), empty.std(), empty.sum(), F.mse_loss(empty, empty)):
        assert gradient(y, empty) == []


@pytest.mark.parametrize("of", [F.softmax, F.log_softmax, mm.logsumexp], ids=["softmax", "log_softmax", "logsumexp"])
def test_exponentials_do_not_overflow_and_minus_infinity_masks(of):
    x = leaf(1e4, 1e4 - 1, -1e4)
    shifted = leaf(0.0, -1.0, -2e4)
    np.testing.assert_allclose(gradient(of(x, 0), x), gradient(of(shifted, 0), shifted), atol=1e-12)
    masked, rest = leaf(1.0, -float("inf"), 2.0), leaf(1.0, 2.0)
    y = of(masked, 0)
    np.testing.assert_allclose(gradient(y[::2] if y.ndim else y, masked)[::2], gradient(of(rest, 0), rest), atol=1e-12)


def test_losses_at_the_ends_of_their_domains():
    p = leaf(0.0, 1.0, 0.0, 1.0)
    y = mm.tensor([0.0, 1.0, 1.0, 0.0], dtype="float64")
    assert F.binary_cross_entropy(p, y, reduction="none").tolist() == [0, 0, 100, 100]
    assert gradient(F.binary_cross_entropy(p, y), p) == [0, 0, -2.5e11, 2.5e11]
    x = leaf(1e3, -1e3)
    assert F.binary_cross_entropy_with_logits(x, mm.tensor([1.0, 0.0], dtype="float64")).item() == 0
    assert F.binary_cross_entropy_with_logits(x, mm.tensor([0.0, 1.0], dtype="float64")).item() == 1000
    assert F.kl_div(leaf(-1.0), mm.zeros(1, dtype="float64"), reduction="sum").item() == 0  # 0 ln 0 = 0
    logits = mm.tensor([[0.0, -float("inf"), 1.0]], dtype="float64", requires_grad=True)
    loss = F.cross_entropy(logits, mm.tensor([2]))
    np.testing.assert_allclose(loss.item(), np.log1p(np.exp(-1)))
    np.testing.assert_allclose(gradient(loss, logits)[0], [1 / (1 + np.e), 0, -1 / (1 + np.e)])


def test_labels_that_are_all_ignored_give_nan_and_no_gradient():
    x, ignored = mm.ones(2, 3, dtype="float64", requires_grad=True), mm.tensor([-100, -100])
    for loss in (F.cross_entropy, F.nll_loss):
        y = loss(x, ignored)
        assert np.isnan(y.item())
        assert gradient(y, x) == [[0.0] * 3] * 2
        assert loss(x, ignored, reduction="sum").item() == 0


# Indices


def test_numbers_are_read_before_tensors():
    x = mm.arange(24).reshape(2, 3, 4)
    k = mm.tensor([1, 2])
    assert x[0, :, k].shape == (3, 2)  # NumPy: (2, 3)
    assert x[k - 1, :, k].shape == (2, 3)
    assert x[mm.tensor(1), :, k].tolist() == [[13, 14], [17, 18], [21, 22]]
    assert x[:, ((0, 0), (1, 1))].shape == (2, 2, 2, 4)
    x[0, :, k] = mm.zeros(3, 2).long()
    assert x[0].tolist() == [[0, 0, 0, 3], [4, 0, 0, 7], [8, 0, 0, 11]]


def test_an_entry_read_twice_gets_both_gradients():
    x = leaf(1.0, 2.0, 3.0)
    for index in (mm.tensor([0, 0, 2]), [0, 0, 2], ((0, 0, 2),), [0, -3, -1]):
        assert gradient(x[index], x) == [2, 0, 1]


def test_views_and_copies():
    x = mm.zeros(2, 3)
    with mm.no_grad():
        for view in (x[0], x[:, 1:], x.T, x.reshape(6), x.flatten(), x.unsqueeze(0), x.squeeze(), x.detach(), x.permute(1, 0)):
            view.fill_(1.0)
            assert x.sum().item() > 0
            x.zero_()
        for copy in (x[[0]], x[x == 0], x.clone(), x + 0, mm.cat([x]), mm.stack([x]), F.pad(x, (0, 0))):
            copy.fill_(1.0)
            assert x.sum().item() == 0


# Randomness and statistics


def test_dropout():
    x = mm.ones(1000, dtype="float64", requires_grad=True)
    y = F.dropout(x, 0.25, generator=mm.Generator(0))
    assert set(y.tolist()) == {0.0, 1 / 0.75}
    assert abs((y == 0).sum().item() - 250) < 60
    assert gradient(y, x) == y.tolist()
    assert F.dropout(x, 0.25, generator=mm.Generator(0)).tolist() == y.tolist()
    assert F.dropout(x, 0.25, training=False) is x
    assert F.dropout(x, 1.0).sum().item() == 0
    assert F.dropout(mm.ones(()), 0.0).item() == 1
    assert F.dropout(mm.tensor(1.0), 0.5, generator=mm.Generator(0)).shape == ()


def test_batch_norm_moves_the_running_statistics():
    rng = np.random.default_rng(0)
    x = rng.normal(3, 2, (4, 2, 5))
    mean, var = mm.full((2,), 5.0, dtype="float64"), mm.full((2,), 9.0, dtype="float64")
    F.batch_norm(mm.tensor(x), mean, var, training=True, momentum=0.3)
    np.testing.assert_allclose(mean.numpy(), 0.7 * 5 + 0.3 * x.mean((0, 2)))
    np.testing.assert_allclose(var.numpy(), 0.7 * 9 + 0.3 * x.var((0, 2), ddof=1))
    before = mean.tolist(), var.tolist()
    F.batch_norm(mm.tensor(x), mean, var)
    F.batch_norm(mm.tensor(x[:0]), mean, var, training=True)
    assert (mean.tolist(), var.tolist()) == before


def test_a_group_of_channels_needs_no_pixels():
    x = mm.tensor([[1.0, 3.0, 0.0, 4.0], [5.0, 9.0, 6.0, 2.0]], dtype="float64")
    np.testing.assert_allclose(F.group_norm(x, 2, eps=0).numpy(), [[-1, 1, -1, 1], [-1, 1, 1, -1]])


def test_images_without_channels_have_none_afterwards():
    nothing = mm.ones(2, 0, 4, 4)
    assert F.conv2d(nothing, mm.ones(3, 0, 2, 2)).tolist() == mm.zeros(2, 3, 3, 3).tolist()
    assert F.conv_transpose2d(nothing, mm.ones(0, 3, 2, 2)).tolist() == mm.zeros(2, 3, 5, 5).tolist()
    assert {f(nothing, 2).shape for f in (F.max_pool2d, F.avg_pool2d, F.adaptive_avg_pool2d, F.interpolate)} == {(2, 0, 2, 2)}


def test_an_empty_tuple_of_axes_is_all_of_them():
    x = mm.ones(2, 3)
    assert [f(x, dim=()).shape for f in (mm.sum, mm.mean, mm.var, mm.std, mm.norm)] == [()] * 5
    assert mm.any(x, dim=()).shape == x.squeeze(()).shape == (2, 3)


def test_defaults_are_those_of_pytorch():
    x = mm.tensor([[0.0, 1.0], [2.0, 0.0]])
    assert mm.stack([x, x]).tolist() == [x.tolist(), x.tolist()]
    assert mm.cat([x, x]).tolist() == [*x.tolist(), *x.tolist()]
    assert [t.tolist() for t in x.split(1)] == [[[0, 1]], [[2, 0]]]
    assert mm.norm(x).item() == np.sqrt(np.float32(5))
    assert mm.norm(x, 0).item() == 2  # how many are not 0
    assert mm.var(x).item() == pytest.approx(11 / 12)
    y = F.softplus(leaf(19.9, 20.5))
    assert (y - leaf(19.9, 20.5)).tolist() == [pytest.approx(2.3e-9, rel=0.1), 0]  # beyond 20 it is x itself


def test_integers_between_bounds():
    k = mm.tensor([0, 2, 5])
    assert [k.clip(1, 4).dtype.name, k.clip(1, None).tolist(), k.clip(None, 4).tolist()] == ["int64", [1, 2, 5], [0, 2, 4]]
    for low, high, clipped in ((0.5, 4, [0.5, 2, 4]), (1, 4.5, [1, 2, 4.5]), (0.5, None, [0.5, 2, 5])):
        assert (k.clip(low, high).dtype.name, k.clip(low, high).tolist()) == ("float32", clipped)


def test_nan_is_the_largest_and_takes_the_gradient():
    x = leaf(1.0, float("nan"), 2.0)
    assert gradient(x.max(), x) == gradient(x.min(), x) == [0, 1, 0]


@pytest.mark.parametrize("shapes", [((3, 1), (1, 3)), ((1, 3), (3, 1)), ((3,), (3, 1)), ((3, 1), (3,))])
def test_a_loss_compares_tensors_of_one_shape(shapes):
    x, y = map(mm.ones, shapes)
    for loss in (F.mse_loss, F.l1_loss, F.huber_loss):
        with pytest.raises(ValueError, match="same shape"):
            loss(x, y)


@pytest.mark.parametrize("equation", ["i->", "ijk->", "ij,j->"])
def test_an_equation_has_an_index_for_each_axis(equation):
    with pytest.raises(ValueError, match="does not fit an operand|names"):
        mm.einsum(equation, *[mm.ones(2, 3)] * len(equation.split(",")))


def test_how_an_operation_is_made_is_said_by_keyword():
    with pytest.raises(TypeError, match="positional"):
        mm.differentiable(lambda a, b: (a + b,), True)
