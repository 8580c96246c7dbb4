"""The recipe for an operation of one's own, and how Tensors meet Python's and NumPy's numbers."""

import operator

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import minimtl as mm
from minimtl.backend import Array


@mm.differentiable
def my_matmul(A, B):
    """Y = A B      ∂L/∂A = G Bᵀ      ∂L/∂B = Aᵀ G"""
    return A @ B, lambda G: G @ B.mT, lambda G: A.mT @ G


@mm.differentiable
def scaled(x, factor=2.0, *, power=1, mask=None):
    """y = factor x^power where the mask holds"""
    kept = 1.0 if mask is None else mask
    return factor * x**power * kept, lambda G: G * factor * power * x ** (power - 1) * kept


@mm.differentiable
def largest(x):
    """y = max x, with its place and how often it occurs"""
    y, k = x.max(), x.argmax()
    return (y, k, (x == y).sum()), lambda G: G * (np.arange(x.size) == k)


@mm.differentiable
def total(xs, scale=1.0):
    """y = scale Σᵢ xᵢ of a list"""
    return scale * sum(xs), *[lambda G: G * np.asarray(scale, G.dtype)] * len(xs)


@mm.differentiable(broadcasts=True)
def product(a, b):
    """y = a b"""
    return a * b, lambda G: G * b, lambda G: G * a


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_the_recipe_on_the_page(dtype):
    A, B = mm.randn(2, 3, dtype=dtype, requires_grad=True), mm.randn(3, 4, dtype=dtype, requires_grad=True)
    Y, Z = my_matmul(A, B), A @ B
    G = mm.randn(2, 4, dtype=dtype)
    assert Y.tolist() == Z.tolist()
    for ours, theirs in zip(mm.grad(Y, [A, B], G), mm.grad(Z, [A, B], G), strict=True):
        assert ours.dtype == dtype
        assert ours.tolist() == theirs.tolist()
    assert my_matmul.__name__ == "my_matmul"
    assert my_matmul.__doc__.startswith("Y = A B")
    assert repr(Y.grad_fn) == "<my_matmul (2, 4)>"


def test_arguments_by_name_and_by_name_alone():
    x = mm.tensor([1.0, 2.0], requires_grad=True)
    for y, value, gradient in (
        (scaled(x), [2, 4], [2, 2]),
        (scaled(x, factor=3.0), [3, 6], [3, 3]),
        (scaled(x=x, power=2), [2, 8], [4, 8]),
        (scaled(factor=1.0, x=x, mask=mm.tensor([0.0, 1.0])), [0, 2], [0, 1]),
    ):
        assert y.tolist() == value
        assert mm.grad(y.sum(), x)[0].tolist() == gradient
    with pytest.raises(TypeError, match="scaled: got an unexpected keyword argument 'by'"):
        scaled(x, by=3)


def test_of_a_tuple_the_first_member_carries_gradient():
    x = mm.tensor([1.0, 5.0, 5.0], requires_grad=True)
    y, k, n = largest(x)
    assert (y.item(), k.item(), n.item()) == (5, 1, 2)
    assert (y.requires_grad, k.requires_grad, n.requires_grad) == (True, False, False)
    y.backward()
    assert x.grad.tolist() == [0, 1, 0]


def test_a_list_is_so_many_arguments():
    xs = [mm.ones(2, requires_grad=i != 1) for i in range(3)]
    total(xs, 3.0).sum().backward()
    assert [None if x.grad is None else x.grad.tolist() for x in xs] == [[3, 3], None, [3, 3]]
    total([xs[0], xs[0]]).sum().backward()
    assert xs[0].grad.tolist() == [5, 5]
    assert total([mm.ones(2, dtype="float64")], 3.0).dtype == "float64"


@given(st.data())
def test_where_declared_gradients_are_summed_over_what_was_broadcast(data):
    shape = tuple(data.draw(st.lists(st.integers(1, 3), max_size=3)))
    parts = [tuple(1 if data.draw(st.booleans()) else n for n in shape)[data.draw(st.integers(0, len(shape))) :] for _ in "ab"]
    a, b = (mm.ones(part, requires_grad=True) * (i + 2) for i, part in enumerate(parts))
    y = product(a, b)
    for g, t, other in zip(mm.grad(y, [a, b], mm.ones_like(y)), (a, b), (3, 2), strict=True):
        assert g.shape == t.shape
        assert (g.array == other * (y.numel() // t.numel())).all()


# What the decorator refuses


def test_a_derivative_that_is_missing_is_not_taken_for_zero():
    @mm.differentiable
    def forgetful(x, w, v=1.0):
        return x * w * v, lambda G: G * w * v

    @mm.differentiable
    def honest(x, k):
        return x * k, lambda G: G * k, None

    x, w = mm.ones(2, requires_grad=True), mm.ones(2, requires_grad=True)
    for operation in (forgetful, honest):
        with pytest.raises(TypeError, match=f"{operation.__name__}: has no derivative"):
            operation(x, w)
        with pytest.raises(TypeError, match="has no derivative"):
            scaled(x, mask=w)
        operation(x, w.detach()).sum().backward()
    with pytest.raises(TypeError, match="forgetful: has no derivative"):
        forgetful(x, w.detach(), w)


def test_the_dtype_that_comes_in_goes_out():
    @mm.differentiable(broadcasts=True)
    def widening(a, b):
        return (a * b).astype("float64"), lambda G: G * b, lambda G: G * a

    @mm.differentiable
    def narrowing(a):
        return a.astype("float32"), lambda G: G

    @mm.differentiable
    def root(n):
        return (np.sqrt(n),)

    with pytest.raises(TypeError, match="widening: float32 came in and float64 comes out"):
        widening(mm.ones(2), mm.ones(2))
    with pytest.raises(TypeError, match="narrowing: float64 came in and float32 comes out"):
        narrowing(mm.ones(2, dtype="float64"))
    with pytest.raises(TypeError, match="my_matmul: float32, float64 came in"):
        my_matmul(mm.ones(2, 2), mm.ones(2, 2, dtype="float64"))
    assert product(mm.ones(2), mm.ones(2, dtype="float64")).dtype == mm.float64
    assert root(mm.tensor([4])).dtype == mm.float32  # integers alone


def test_an_error_inside_an_operation_is_the_users_own_or_a_plain_one():
    @mm.differentiable
    def strict(x: Array):
        return x.reshape(7), lambda G: G

    with pytest.raises(ValueError, match="cannot reshape"):
        strict(mm.ones(3))
    with pytest.raises(TypeError, match="strict: x must be a Tensor, got str"):
        strict("text")
    with pytest.raises(ValueError, match=r"product: shapes \(2,\) and \(3,\) do not broadcast"):
        product(mm.ones(2), mm.ones(3))


def test_operations_take_arrays_and_numbers_without_any_tensor():
    assert product(2.0, 3.0).item() == 6
    assert mm.add(1, 2).dtype == mm.int64
    assert mm.relu(np.array([-1.0, 2.0])).tolist() == [0, 2]


# Numbers of Python and NumPy


OPERATORS = [operator.add, operator.sub, operator.mul, operator.truediv, operator.pow, operator.mod]
COMPARISONS = [operator.eq, operator.ne, operator.lt, operator.le, operator.gt, operator.ge]


@pytest.mark.parametrize("f", OPERATORS + COMPARISONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize("other", [2, 2.0, np.float64(2), np.float32(2), np.int64(2), np.array(2.0), np.bool_(True)])
def test_a_number_on_either_side_gives_a_tensor_and_never_promotes(f, other):
    t = mm.tensor([1.0, 3.0])
    for y, expected in ((f(t, other), f(t.numpy(), float(other))), (f(other, t), f(float(other), t.numpy()))):
        assert type(y) is mm.Tensor
        assert y.dtype == (mm.bool if f in COMPARISONS else mm.float32)
        assert y.tolist() == expected.tolist()


@pytest.mark.parametrize("f", OPERATORS + COMPARISONS, ids=lambda f: f.__name__)
@pytest.mark.parametrize(("kind", "result"), [("float64", "float64"), ("float32", "float32"), ("int64", "float32")])
def test_an_array_on_either_side_gives_a_tensor_promoted_as_two_tensors_are(f, kind, result):
    t, a = mm.tensor([1.0, 3.0]), np.array([2, 4], kind)
    for y in (f(t, a), f(a, t)):
        assert type(y) is mm.Tensor
        assert y.dtype == ("bool" if f in COMPARISONS else result)
    assert (mm.tensor([1, 2]) * np.array([0.5, 0.5])).dtype == mm.float64


def test_gradients_pass_numbers_and_arrays():
    t = mm.ones(2, requires_grad=True)
    (np.float64(2) * t + np.ones(2, "float32") * t / np.array([1, 2])).sum().backward()
    assert t.grad.tolist() == [3, 2.5]
    a = np.ones(2)
    with pytest.raises(TypeError):
        a += t


def test_a_dtype_that_is_asked_for_has_all_its_digits():
    for x in (mm.tensor(0.1, dtype="float64"), mm.tensor([0.1], dtype="float64"), mm.full((1,), 0.1, dtype="float64")):
        assert x.item() == 0.1
    assert mm.tensor(2**24 + 1.0, dtype="int64").item() == 2**24 + 1
    assert mm.tensor(np.array([0.1]), dtype="float32").dtype == mm.float32
    assert mm.tensor(0.1).dtype == mm.float32
    assert mm.tensor([np.float64(0.1)]).dtype == mm.float64


def test_tensors_are_told_apart_by_identity_in_sets_and_entry_by_entry_by_equality():
    a, b = mm.ones(2), mm.ones(2)
    assert len({a, b, a}) == 2
    assert {a: "a", b: "b"}[a] == "a"
    assert (a == b).tolist() == [True, True]
    assert (a != b).any().item() is False
    assert a in [a]
    with pytest.raises(ValueError, match="one number"):
        bool(a == b)
