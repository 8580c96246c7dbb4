"""The graph: what backward and grad yield, what they leave alone, and what is recorded."""

import threading

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minimtl as mm
from minimtl import nn


def leaf(*numbers, dtype="float64"):
    return mm.tensor(numbers if len(numbers) != 1 else numbers[0], dtype=dtype, requires_grad=True)


def spy(calls):
    """The product of two tensors, whose maps tell when they are called."""

    @mm.differentiable
    def product(a, b):
        def ga(G):
            calls.append("a")
            return G * b

        def gb(G):
            calls.append("b")
            return G * a

        return a * b, ga, gb

    return product


def broken(fault):
    """y = x, with a map that does as the fault says."""

    @mm.differentiable
    def faulty(x):
        return x.copy(), fault

    return faulty


def raising(G):
    raise ArithmeticError("planted")


# What comes out


def test_a_diamond_and_a_tensor_used_twice():
    a = leaf(3.0)
    b = a + a
    c = b + b
    c.backward()
    assert a.grad.item() == 4
    assert b.grad is None
    assert [t.is_leaf for t in (a, b, c)] == [True, False, False]
    x = leaf(3.0)
    (x * x * x).backward()
    assert x.grad.item() == 27


programs = st.lists(st.tuples(*[st.integers(0, 99)] * 2, *[st.integers(-3, 3)] * 2), min_size=1, max_size=12)


@settings(deadline=None)
@given(programs, st.booleans())
def test_any_graph_gives_what_forward_differentiation_gives(program, leaves_alone):
    """vₖ = a vᵢ + b vⱼ, i, j < k, from two leaves: integers, so that every order of summation gives the same bytes."""
    values, rows = [leaf(2.0), leaf(5.0)], list(np.eye(2 + len(program)))
    for i, j, a, b in program:
        i, j, k = i % len(values), j % len(values), len(values)
        values.append(values[i] * a + values[j] * b)
        rows[k] = rows[k] + a * rows[i] + b * rows[j]  # ∂vₖ/∂v, by forward differentiation
    if leaves_alone:
        values[-1].backward()
        assert [0.0 if v.grad is None else v.grad.item() for v in values[:2]] == rows[-1][:2].tolist()
    else:
        found = mm.grad(values[-1], values, allow_unused=True)
        assert [0.0 if g is None else g.item() for g in found] == rows[-1].tolist()
        assert all(v.grad is None for v in values)


def test_backward_adds_to_what_is_there_and_zeroing_starts_over():
    x = leaf(1.0, 2.0)
    for times in (1, 2, 3):
        (x * 5).sum().backward()
        assert x.grad.tolist() == [5.0 * times] * 2
    first = x.grad
    x.grad = None
    (x * 5).sum().backward()
    assert x.grad.tolist() == [5, 5]
    assert first.tolist() == [15, 15]


def test_a_gradient_in_memory_of_its_own_is_not_copied():
    made = []

    @mm.differentiable
    def doubled(x):
        return 2 * x, lambda G: made.append(2 * G) or made[0]

    x = leaf(1.0, 2.0)
    doubled(x).sum().backward()
    assert x.grad.array is made[0]


def test_backward_of_a_vector_takes_a_gradient():
    x = leaf(1.0, 2.0)
    v = mm.tensor([3.0, 4.0], dtype="float64")
    (x * x).backward(v)
    assert x.grad.tolist() == [6, 16]
    x.grad.zero_()
    assert v.tolist() == [3, 4]


@pytest.mark.parametrize(
    ("gradient", "error"),
    [
        (None, RuntimeError),
        (mm.ones(3, dtype="float64"), ValueError),
        (mm.ones(1, dtype="float64"), ValueError),
        (mm.ones(2), ValueError),
        (np.ones(2), ValueError),
    ],
)
def test_a_gradient_that_does_not_fit_is_refused(gradient, error):
    x = leaf(1.0, 2.0)
    with pytest.raises(error, match="gradient"):
        (x * x).backward(gradient)
    assert x.grad is None


def test_backward_of_what_depends_on_nothing_is_refused():
    with pytest.raises(RuntimeError, match="depends on nothing"):
        mm.ones(1).backward()


def test_retain_graph_allows_a_second_call_and_without_it_nothing_changes():
    x, w = leaf(2.0), leaf(3.0)
    y = (x * w).exp()
    y.backward(retain_graph=True)
    once = x.grad.item(), w.grad.item()
    y.backward()
    assert (x.grad.item(), w.grad.item()) == (2 * once[0], 2 * once[1])
    with pytest.raises(RuntimeError, match="released"):
        y.backward()
    with pytest.raises(RuntimeError, match="released"):
        (y * w).backward()
    assert (x.grad.item(), w.grad.item()) == (2 * once[0], 2 * once[1])


def test_a_leaf_frozen_after_it_was_used_gets_no_gradient():
    x, w = leaf(2.0), leaf(3.0)
    y = x * w
    x.requires_grad_(False)
    y.backward()
    assert (x.grad, w.grad.item()) == (None, 2)


# grad


def test_grad_of_leaves_and_of_computed_tensors_touches_no_grad():
    x, w = leaf(2.0), leaf(3.0)
    h = x * w
    y = h * h
    gh, gx, gy, again = mm.grad(y, [h, x, y, x])
    assert [g.item() for g in (gh, gx, gy, again)] == [12, 36, 1, 36]
    gx.zero_()
    assert again.item() == 36
    assert all(t.grad is None for t in (x, w, h, y))
    assert not gx.requires_grad


def test_grad_of_several_outputs_with_weights():
    x = leaf(1.0, 2.0)
    v = mm.tensor([1.0, 10.0], dtype="float64")
    (g,) = mm.grad([x * 2, (x * x).sum()], x, [v, None])
    assert g.tolist() == [4, 24]
    with pytest.raises(ValueError, match="2 outputs"):
        mm.grad([x * 2, x * 3], x, [v])


def test_grad_names_unused_inputs():
    x, other = leaf(1.0), leaf(1.0)
    with pytest.raises(RuntimeError, match="input 1"):
        mm.grad(x * 2, [x, other])
    assert mm.grad(x * 2, [x, other], allow_unused=True)[1] is None
    with pytest.raises(RuntimeError, match="input 0 does not require"):
        mm.grad(x * 2, mm.ones(1))


def test_grad_runs_only_the_maps_that_lead_to_the_inputs():
    calls: list[str] = []
    product = spy(calls)
    x, w, far = leaf(2.0), leaf(3.0), leaf(5.0)
    h = product(x, w)
    y = product(product(h, far), mm.ones((), dtype="float64"))
    mm.grad(y, h, retain_graph=True)
    assert calls == ["a", "a"]
    calls.clear()
    mm.grad(y, far, retain_graph=True)
    assert calls == ["a", "b"]
    calls.clear()
    y.backward()
    assert calls == ["a", "a", "b", "a", "b"]


def test_maps_of_frozen_parameters_and_of_data_are_never_called():
    calls: list[str] = []
    product = spy(calls)
    data, frozen, w = mm.ones(2), nn.Parameter(mm.ones(2), requires_grad=False), leaf(1.0, 1.0, dtype="float32")
    product(product(data, frozen), w).sum().backward()
    assert calls == ["b"]
    assert product(data, frozen).grad_fn is None


# When something goes wrong


@pytest.mark.parametrize(
    ("fault", "error"),
    [
        (raising, ArithmeticError),
        (lambda G: G[:1], RuntimeError),
        (lambda G: G.astype("float32"), RuntimeError),
        (lambda G: 1.0, RuntimeError),
        (lambda G: None, RuntimeError),
    ],
    ids=["raises", "shape", "dtype", "number", "none"],
)
@pytest.mark.parametrize("before", [None, 7.0])
def test_an_error_on_the_way_leaves_every_grad_untouched(fault, error, before):
    early, late = leaf(1.0, 2.0), leaf(3.0, 4.0)
    early.grad = late.grad = None if before is None else mm.full((2,), before, dtype="float64")
    y = (broken(fault)(early * 2) * late).sum()
    with pytest.raises(error):
        y.backward()
    for x in (early, late):
        assert (x.grad if before is None else x.grad.tolist()) == (before if before is None else [before] * 2)


def test_a_broadcasting_operation_must_not_give_a_transposed_gradient():
    @mm.differentiable(broadcasts=True)
    def transposing(a, b):
        return a + b, lambda G: G.T, lambda G: G

    a = leaf([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]])
    with pytest.raises(RuntimeError, match=r"transposing.*\(3, 2\).*\(2, 3\)"):
        transposing(a, 1.0).sum().backward()


# Recording


def test_no_grad_and_enable_grad_nest():
    x = leaf(1.0)
    with mm.no_grad():
        assert not (x * 2).requires_grad
        with mm.enable_grad():
            assert (x * 2).requires_grad
            with mm.set_grad_enabled(False):
                assert not mm.is_grad_enabled()
            assert mm.is_grad_enabled()
        with pytest.raises(KeyError), mm.enable_grad():
            raise KeyError
        assert not mm.is_grad_enabled()
    assert mm.is_grad_enabled()


def test_set_grad_enabled_is_a_statement_too():
    mm.set_grad_enabled(False)
    try:
        assert not (leaf(1.0) * 2).requires_grad
    finally:
        mm.set_grad_enabled(True)
    assert (leaf(1.0) * 2).requires_grad


def test_one_context_may_be_entered_twice():
    context = mm.no_grad()
    with mm.enable_grad(), context:
        with mm.enable_grad(), context:
            assert not mm.is_grad_enabled()
        assert not mm.is_grad_enabled()
    assert mm.is_grad_enabled()


def test_a_decorated_function_may_call_itself_and_run_in_two_threads():
    """One thread enters, the other enters, the one leaves, the other leaves; each gets its own mode back."""
    entered, both, left = threading.Event(), threading.Event(), threading.Event()
    after = {}

    @mm.no_grad()
    def work(reached, go_on, depth=2):
        assert not mm.is_grad_enabled()
        if depth:
            return work(reached, go_on, depth - 1)
        reached.set()
        return go_on.wait(10)

    def recorded():
        work(entered, both)
        after["recorded"] = mm.is_grad_enabled()
        left.set()

    def unrecorded():
        with mm.no_grad():
            entered.wait(10)
            work(both, left)
            after["unrecorded"] = mm.is_grad_enabled()

    threads = [threading.Thread(target=f) for f in (recorded, unrecorded)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert after == {"recorded": True, "unrecorded": False}


def test_no_grad_in_one_thread_says_nothing_about_another():
    found = []
    with mm.no_grad():
        thread = threading.Thread(target=lambda: found.append(mm.is_grad_enabled()))
        thread.start()
        thread.join(10)
    assert found == [True]


def test_detach_shares_memory_and_has_no_history():
    x = leaf(1.0, 2.0)
    d = (x * 2).detach()
    assert d.is_leaf
    assert not d.requires_grad
    part = x.detach()
    part[0] = 9
    assert x.tolist() == [9, 2]
    assert ((x.detach() * x).sum().backward(), x.grad.tolist())[1] == [9, 2]


def test_repr_shows_the_numbers_and_what_is_unusual():
    x = leaf(1.0, 2.0)
    assert repr(mm.tensor([1, 2])) == "tensor([1, 2])"
    assert repr(x) == "tensor([1., 2.], dtype=float64, requires_grad=True)"
    assert repr(x * 2) == "tensor([2., 4.], dtype=float64, grad_fn=<mul>)"


def test_only_floating_point_leaves_can_require_a_gradient():
    with pytest.raises(TypeError, match="int64"):
        mm.tensor([1, 2]).requires_grad_()
    with pytest.raises(RuntimeError, match="detach"):
        (leaf(1.0) * 2).requires_grad_(False)
