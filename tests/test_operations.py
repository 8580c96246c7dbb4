"""Every operation of the table: its value, its derivatives, its types of numbers, any memory layout, repeated arguments."""

import numpy as np
import pytest
from draws import Draw, call, unary
from hypothesis import Phase, given, settings
from hypothesis import strategies as st
from operations import LAYOUTS, NOT_DIFFERENTIABLE, OPERATIONS, Operation, check_derivatives, cotangents, pulled_back, tensors

import minimtl as mm
from minimtl import ops

every_row = pytest.mark.parametrize("row", OPERATIONS, ids=repr)
differentiable_row = pytest.mark.parametrize("row", [row for row in OPERATIONS if row.differentiable], ids=repr)


def examples(share, **options):
    """A share of the profile's number of examples: the rows are many."""
    return settings(max_examples=max(1, settings.default.max_examples // share), **options)


@st.composite
def calls(draw, row, tied=False):
    """A Draw, and the call that it made."""
    d = Draw(draw, tied)
    return d, row.draws(d)


def close(ours, wanted, tolerance):
    wanted = np.asarray(wanted)
    assert ours.shape == wanted.shape
    scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=1.0) if wanted.dtype.kind == "f" else 1.0
    np.testing.assert_allclose(ours, wanted, rtol=tolerance, atol=tolerance * scale)


def test_every_public_operation_has_a_row():
    public = {name for name, f in vars(ops).items() if callable(f) and not name.startswith("_")}
    assert {row.operation for row in OPERATIONS} == public - NOT_DIFFERENTIABLE


@pytest.mark.parametrize("row", [row for row in OPERATIONS if row.naive], ids=repr)
@pytest.mark.parametrize("tied", [False, True], ids=["smooth", "tied"])
def test_value_is_the_definition(row, tied):
    @examples(2)
    @given(calls(row, tied))
    def check(drawn):
        _, call = drawn
        ours = row(call, tensors(row.leaves(call)))
        with np.errstate(all="ignore"):
            wanted = row.naive(*call.args, **call.kwargs)
        for y, w in zip(ours, wanted if isinstance(wanted, list) else [wanted], strict=True):
            close(y.array, w, 1e-10)

    check()


@differentiable_row
def test_derivatives_are_those_measured(row):
    @examples(2)
    @given(calls(row))
    def check(drawn):
        d, call = drawn
        check_derivatives(row, call, d.rng)

    check()


@every_row
def test_float32_stays_float32(row):
    @examples(6)
    @given(calls(row))
    def check(drawn):
        d, call = drawn
        single, double = (tensors(row.leaves(call), dtype) for dtype in (np.float32, np.float64))
        ours, wanted = row(call, single, np.float32), row(call, double)
        for y, w in zip(ours, wanted, strict=True):
            assert row.operation == "cast" or y.dtype == (np.float32 if w.dtype.kind == "f" else w.dtype)
            close(y.array, w.array, 1e-3)
        vs = cotangents(wanted, d.rng)
        near = [v if v is None else v.astype(y.dtype) for v, y in zip(vs, ours, strict=True)]
        for g, h in zip(pulled_back(ours, single, near), pulled_back(wanted, double, vs), strict=True):
            assert g.dtype == np.float32
            close(g, h, 1e-2)

    check()


@every_row
def test_any_memory_layout_does_and_nothing_is_written_to(row):
    @examples(4)
    @given(calls(row), st.sampled_from(LAYOUTS))
    def check(drawn, layout):
        d, plain = drawn
        args, kwargs = row.filled(plain, layout, layout)
        moved = call(*args, **kwargs)
        arrays = []
        row.filled(moved, arrays.append, arrays.append)
        before = [a.copy() for a in arrays]
        xs, zs = tensors(row.leaves(plain)), tensors(row.leaves(moved))
        wanted, ours = row(plain, xs), row(moved, zs)
        vs = cotangents(wanted, d.rng)
        kept = [v if v is None else v.copy() for v in vs]
        for y, w in zip(ours, wanted, strict=True):
            close(y.array, w.array, 1e-12)
        for g, h in zip(pulled_back(ours, zs, vs), pulled_back(wanted, xs, vs), strict=True):
            close(g, h, 1e-12)
        for a, b in [*zip(arrays, before, strict=True), *zip(vs, kept, strict=True)]:
            np.testing.assert_array_equal(a, b)

    check()


@differentiable_row
def test_one_tensor_for_two_arguments_gets_both_gradients(row):
    @examples(4)
    @given(calls(row))
    def check(drawn):
        d, call = drawn
        if (pair := row.repeated(call)) is None:
            return
        arrays = row.leaves(call)
        i, j = pair
        arrays[i] = arrays[j]
        apart, joined = tensors(arrays), tensors(arrays)
        joined[i] = joined[j]
        ys, zs = row(call, apart), row(call, joined)
        vs = cotangents(ys, d.rng)
        gradients = pulled_back(ys, apart, vs)
        (both,) = pulled_back(zs, [joined[j]], vs)
        close(both, gradients[i] + gradients[j], 1e-12)

    check()


@pytest.mark.parametrize("row", [row for row in OPERATIONS if hasattr(mm.Tensor, row.operation)], ids=repr)
def test_the_method_is_the_function(row):
    @examples(10)
    @given(calls(row))
    def check(drawn):
        _, call = drawn
        args, kwargs = row.filled(call, mm.Tensor, mm.Tensor)
        if row.operation == "where":  # x where the condition holds
            args[:2] = args[1::-1]
        if not isinstance(args[0], mm.Tensor):
            return
        wanted = row(call, tensors(row.leaves(call)))
        method = getattr(args[0], row.operation)(*args[1:], **kwargs)
        for y, w in zip(method if isinstance(method, tuple) else [method], wanted, strict=True):
            np.testing.assert_array_equal(y.array, w.array)

    check()


# Planted errors: what the check of derivatives must catch


def planted(value, *maps, broadcasts=False):
    """An operation of one or two arguments whose maps are wrong, as a row of the table."""

    def operation(*arrays):
        return value(*arrays), *(lambda G, wrong=wrong: wrong(G, *arrays) for wrong in maps)

    return Operation(value.__name__, mm.differentiable(broadcasts=broadcasts)(operation), unary if len(maps) == 1 else pair)


def pair(d):
    return call(*d.arrays((3, 2), (2,)))


ERRORS = {
    "a factor 2": planted(np.sin, lambda G, x: 2 * G * np.cos(x)),
    "the sign": planted(np.cos, lambda G, x: G * np.sin(x)),
    "zero": planted(np.exp, lambda G, x: 0 * G),
    "the value for the derivative": planted(np.tanh, lambda G, x: G * np.tanh(x)),
    "the mask dropped": planted(lambda x: np.maximum(x, 0), lambda G, x: G),
    "a mask too many": planted(np.negative, lambda G, x: -G * (x > 0)),
    "the cotangent ignored": planted(np.square, lambda G, x: 2 * x),
    "a constant": planted(np.abs, lambda G, x: G * np.sign(x) + 1e-3),
    "a part in ten thousand": planted(np.cbrt, lambda G, x: 1.0001 * G / (3 * np.cbrt(x) ** 2)),
    "arguments exchanged": planted(np.multiply, lambda G, a, b: G * a, lambda G, a, b: G * b, broadcasts=True),
    "one argument forgotten": planted(np.subtract, lambda G, a, b: G, lambda G, a, b: 0 * G, broadcasts=True),
    "broadcasting not undone": planted(np.add, lambda G, a, b: G, lambda G, a, b: G),
    "the mean for the sum": planted(np.add, lambda G, a, b: G, lambda G, a, b: G.mean(0)),
    "one of the broadcast rows": planted(np.add, lambda G, a, b: G, lambda G, a, b: G[0]),
    "the sum for the mean": planted(lambda x: x.sum() / max(x.size, 1), lambda G, x: G * np.ones_like(x)),
    "the wrong axis": planted(lambda x: x.cumsum(-1) if x.ndim else x, lambda G, x: G.cumsum(-1) if x.ndim else G),
    "a transpose": planted(lambda x: x.T, lambda G, x: G.reshape(x.shape)),
    "ties for extremes": planted(lambda x: x.max(initial=-9.0), lambda G, x: G * np.ones_like(x) / max(x.size, 1)),
}


@pytest.mark.parametrize("row", ERRORS.values(), ids=ERRORS)
def test_planted_errors_are_caught(row):
    @settings(max_examples=100, phases=[Phase.generate], database=None)
    @given(calls(row))
    def check(drawn):
        d, call = drawn
        check_derivatives(row, call, d.rng)

    with pytest.raises((AssertionError, RuntimeError), match="the maps say|gives a gradient of"):
        check()
