"""Random graphs, built in minimtl and in a forward-mode engine side by side: values, gradients and refusals must agree.

The machine takes random steps: operations, freezing, writes in place, backward, grad. A `Pair` is one tensor in both engines.
"""

import sys
from contextlib import ExitStack
from functools import partial
from typing import NamedTuple

import numpy as np
import reference as ref
from hypothesis import strategies as st
from hypothesis.stateful import Bundle, RuleBasedStateMachine, initialize, invariant, multiple, rule

import minimtl as mm


class Pair(NamedTuple):
    """A tensor, and what it is in the reference."""

    tensor: mm.Tensor
    value: ref.Value


# Each operation on tensors, and on reference values


def linear(f):
    return partial(ref.linear, f)


def both(f):
    """A linear operation that tensors and arrays spell alike."""
    return f, linear(f)


UNARY = {
    "exp": (lambda x: x.exp(), partial(ref.entrywise_of_result, np.exp, lambda y: y)),
    "tanh": (lambda x: x.tanh(), partial(ref.entrywise_of_result, np.tanh, lambda y: 1 - y**2)),
    "relu": (lambda x: x.relu(), partial(ref.entrywise_of_result, lambda x: np.maximum(x, 0), lambda y: y > 0)),
    "sin": (lambda x: x.sin(), partial(ref.entrywise, np.sin, np.cos)),
    "abs": (lambda x: x.abs(), partial(ref.entrywise, np.abs, np.sign)),
    "square": (lambda x: x**2, partial(ref.entrywise, np.square, lambda x: 2 * x)),
    "neg": both(lambda x: -x),
    "sum": both(lambda x: x.sum()),
    "sum(0)": both(lambda x: x.sum(0)),
    "sum(-1), kept": (lambda x: x.sum(-1, keepdim=True), linear(lambda x: x.sum(-1, keepdims=True))),
    "mean(-1)": (lambda x: x.mean(-1), linear(lambda x: x.sum(-1) / x.shape[-1])),
    "reshape(-1)": both(lambda x: x.reshape(-1)),
    "transpose": (lambda x: x.transpose(0, -1), linear(lambda x: x.swapaxes(0, -1))),
    "x[0]": (lambda x: x[0], linear(lambda x: x[0, ...])),  # NumPy copies a lone number, were it not for the ...
    "x[..., 1:]": both(lambda x: x[..., 1:]),
    "x[::2, None]": both(lambda x: x[::2, None]),
    "x[[0, 0, -1]]": both(lambda x: x[[0, 0, -1]]),
    "expand": (lambda x: x.expand(2, *x.shape), linear(lambda x: np.broadcast_to(x, (2, *x.shape)))),
    "detach": (lambda x: x.detach(), ref.detached),
}
BINARY = {
    "a + b": both(lambda a, b: a + b),
    "a - b": both(lambda a, b: a - b),
    "b - a": both(lambda a, b: b - a),
    "a * b": (lambda a, b: a * b, partial(ref.bilinear, np.multiply)),
    "a / b": (lambda a, b: a / b, ref.div),
    "b / a": (lambda a, b: b / a, lambda a, b: ref.div(b, a)),
    "a @ b": (lambda a, b: a @ b, partial(ref.bilinear, np.matmul)),
    "max(a, b)": (lambda a, b: mm.maximum(a, b), ref.maximum),
}
JOINS = {
    "cat": (lambda *xs: mm.cat(xs), linear(lambda *xs: np.concatenate(xs))),
    "cat(-1)": (lambda *xs: mm.cat(xs, dim=-1), linear(lambda *xs: np.concatenate(xs, axis=-1))),
    "stack(-1)": (lambda *xs: mm.stack(xs, dim=-1), linear(lambda *xs: np.stack(xs, axis=-1))),
}
WAYS = {"x": lambda x: x, "x.detach()": lambda x: x.detach(), "x[None]": lambda x: x[None]}  # to write to x
MODES = {"": [], "no_grad": [mm.no_grad], "enable_grad": [mm.no_grad, mm.enable_grad]}

# What is drawn

SHAPES = [(), (3,), (2, 3), (2, 1), (1,), (3, 2), (2, 1, 3), (0, 3)]
NUMBER = st.sampled_from([1.0, 2.0, -0.5, 0.0])
FILLINGS = [[1.0], [1.0, 2.0], [-1.0, 0.5, 2.0], [2.0, -1.0, 0.0, 3.0, 0.5, -2.0]]  # over and over, to fill a shape
NUMBERS = st.sampled_from(FILLINGS)
operations = st.sampled_from([*UNARY, *BINARY, *JOINS])
mostly = st.sampled_from([True, True, True, False])
modes = st.sampled_from([*[""] * 6, "no_grad", "enable_grad"])
VALUES_BELOW, DERIVATIVES_BELOW = 1e2, 1e4  # so that rounding stays far below the tolerance


def close(a, b):
    """Whether array a is float64 and b but for rounding."""
    return a.dtype == np.float64 and a.shape == b.shape and bool((np.abs(a - b) <= 1e-9 * (1 + np.abs(b))).all())


def filled(numbers, shape):
    """The numbers, again and again, in the shape."""
    return np.resize(numbers, shape).astype(float)


def cotangent(v):
    """v as a tensor; None, which means 1, for a 1."""
    return None if v.size == 1 and v == 1 else mm.tensor(v)


def outcome(f, *args, **kwargs):
    """What f returns, or its refusal."""
    try:
        return f(*args, **kwargs)
    except RuntimeError as error:
        return error


def agree(got, expected):
    """Both refused, or neither did."""
    assert isinstance(got, RuntimeError) == isinstance(expected, RuntimeError), f"{got!r}, but {expected!r} in the reference"
    return not isinstance(got, RuntimeError)


class Graphs(RuleBasedStateMachine):
    """Steps that build graphs and use them."""

    pairs, leaves, results = Bundle("pairs"), Bundle("leaves"), Bundle("results")

    def __init__(self):
        super().__init__()
        self.all = []

    def kept(self, tensor, value):
        self.all.append(Pair(tensor, value))
        return self.all[-1]

    def computed(self, operation, mode, *operands):
        """The result in both engines; none where NumPy refuses the operands, or where numbers get large."""
        on_tensors, on_values = operation
        values = [x.value if isinstance(x, Pair) else ref.Value(x) for x in operands]
        try:
            with np.errstate(over="raise", divide="raise", invalid="raise"):
                value = on_values(*values)
        except (ValueError, IndexError, FloatingPointError):
            return multiple()
        if np.abs(value.array).max(initial=0) > VALUES_BELOW or value.array.size > 12:
            return multiple()
        if any(np.abs(J).max(initial=0) > DERIVATIVES_BELOW for J in value.jacobians.values()):
            return multiple()
        with ExitStack() as stack:
            for context in MODES[mode]:
                stack.enter_context(context())
            tensor = on_tensors(*[x.tensor if isinstance(x, Pair) else x for x in operands])
        y = self.kept(tensor, ref.detached(value) if mode == "no_grad" else value)
        self.grad_of(y, [x for x in self.all if x.value.is_leaf])
        return y

    # Building

    @initialize(targets=(pairs, leaves, results), numbers=NUMBERS)
    def start(self, numbers):
        return multiple(*[self.leaf(shape, numbers, True) for shape in [(2, 3), (3,), (1,)]])

    @rule(targets=(pairs, leaves), shape=st.sampled_from(SHAPES), numbers=NUMBERS, requires_grad=mostly)
    def leaf(self, shape, numbers, requires_grad):
        array = filled(numbers, shape)
        return self.kept(mm.tensor(array, requires_grad=requires_grad), ref.Value(array, requires_grad=requires_grad))

    @rule(targets=(pairs, results), f=operations, a=pairs, b=pairs | pairs | NUMBER, mode=modes)
    def compute(self, f, a, b, mode):
        if f in UNARY:
            return self.computed(UNARY[f], mode, a)
        if f in JOINS:
            return self.computed(JOINS[f], mode, a, b if isinstance(b, Pair) else a)
        return self.computed(BINARY[f], mode, a, b)

    # Changing

    @rule(x=leaves | pairs, requires_grad=st.booleans(), grad=st.sampled_from([None, 0.0, 5.0]))
    def reset(self, x, requires_grad, grad):
        """A leaf is frozen or not, and its gradient forgotten or overwritten."""
        if x.value.is_leaf:
            x.tensor.requires_grad_(requires_grad)
            x.value.requires_grad = requires_grad
            if grad is None:
                x.tensor.grad = x.value.grad = None
            elif x.value.grad is not None:
                x.tensor.grad.fill_(grad)
                x.value.grad = np.full_like(x.value.grad, grad)

    @rule(x=pairs | results, way=st.sampled_from(sorted(WAYS)))
    def write(self, x, way):
        """x ← −½ x, in place, through whatever shares its memory."""
        if x.value.array.size:
            with mm.no_grad():
                agree(outcome(lambda: WAYS[way](x.tensor).mul_(-0.5)), outcome(ref.write, x.value, -0.5))

    # Differentiating

    @rule(y=results, numbers=NUMBERS, retain_graph=st.booleans())
    def backward(self, y, numbers, retain_graph):
        v = filled(numbers, y.value.array.shape)
        given = cotangent(v)
        agree(outcome(y.tensor.backward, given, retain_graph), outcome(ref.backward, y.value, v, retain_graph))
        self.spent(given, v)

    @rule(
        ys=st.lists(results, min_size=1, max_size=2),
        xs=st.lists(pairs, min_size=1, max_size=3),
        numbers=NUMBERS,
        retain_graph=st.booleans(),
        allow_unused=st.booleans(),
    )
    def grad(self, ys, xs, numbers, retain_graph, allow_unused):
        vs = [filled(numbers, y.value.array.shape) for y in ys]
        given = [cotangent(v) for v in vs]
        got = outcome(mm.grad, [y.tensor for y in ys], [x.tensor for x in xs], given, retain_graph, allow_unused)
        expected = outcome(ref.grad, [y.value for y in ys], vs, [x.value for x in xs], retain_graph, allow_unused)
        if agree(got, expected):
            for g, e in zip(got, expected, strict=True):
                assert (g is None) == (e is None)
                self.spent(g, e)
        for g, v in zip(given, vs):
            self.spent(g, v)

    def grad_of(self, y, xs):
        """The derivatives of y by those xs that require one; nothing is released."""
        if not y.value.is_leaf:
            self.grad([y], [x for x in xs if x.value.requires_grad], [1.0, 2.0, -3.0], True, True)

    def teardown(self):
        """At the end, the derivatives of all; then each leaf gives up its gradient, which must change no other."""
        if not sys.exception():
            for x in self.all:
                self.grad_of(x, self.all)
            for x in self.all:
                self.spent(x.tensor.grad, x.value.grad)

    def spent(self, tensor, array):
        """The tensor is as expected, and may be overwritten, for nobody else holds its memory."""
        if tensor is not None:
            assert close(tensor.array, array)
            tensor.fill_(77.0)

    @invariant()
    def both_engines_agree(self):
        for tensor, value in self.all:
            assert (tensor.requires_grad, tensor.is_leaf) == (value.requires_grad, value.is_leaf)
            assert close(tensor.array, value.array)
            assert (tensor.grad is None) == (value.grad is None)
            assert value.grad is None or close(tensor.grad.array, value.grad)
