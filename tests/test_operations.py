"""Every operation of the table: its value, its derivatives, its types of numbers, any memory layout, repeated arguments."""

import numpy as np
import pytest
from draws import Draw
from hypothesis import given, settings
from hypothesis import strategies as st
from operations import NOT_DIFFERENTIABLE, OPERATIONS, check_derivatives, cotangents, pulled_back, tensors

import minimtl as mm
from minimtl import ops

every_row = pytest.mark.parametrize("row", OPERATIONS, ids=repr)
differentiable_row = pytest.mark.parametrize("row", [row for row in OPERATIONS if row.differentiable], ids=repr)


def examples(share):
    """A share of the profile's number of examples: the rows are many."""
    return settings(max_examples=max(1, settings.default.max_examples // share))


def calls(row, tied=False):
    """A Draw and the call that it made."""
    return st.composite(lambda draw: (d := Draw(draw, tied), row.draws(d)))()


def close(ours, wanted, tolerance=1e-10, message=""):
    wanted = np.asarray(wanted)
    assert ours.shape == wanted.shape, f"{message}: shape {ours.shape}, not {wanted.shape}"
    scale = np.abs(wanted[np.isfinite(wanted)]).max(initial=1.0) if wanted.dtype.kind == "f" else 1.0
    np.testing.assert_allclose(ours, wanted, rtol=tolerance, atol=tolerance * scale, err_msg=message)


def test_every_public_operation_has_a_row():
    public = {name for name, f in vars(ops).items() if callable(f) and not name.startswith("_")}
    assert {row.operation for row in OPERATIONS} == public - NOT_DIFFERENTIABLE


@pytest.mark.parametrize("row", [row for row in OPERATIONS if row.naive], ids=repr)
def test_value(row):
    @examples(2)
    @given(st.data())
    def value_is_the_definition(data):
        d, call = data.draw(calls(row, data.draw(st.booleans())))
        ours = row(call, tensors(row.leaves(call)))
        with np.errstate(all="ignore"):
            wanted = row.naive(*call.args, **call.kwargs)
        wanted = wanted if isinstance(wanted, list) else [wanted]
        for y, w in zip(ours, wanted, strict=True):
            close(y.array, w, message=str(call))

    value_is_the_definition()


@differentiable_row
def test_derivatives(row):
    @examples(3)
    @given(calls(row))
    def derivatives_are_those_measured(drawn):
        d, call = drawn
        check_derivatives(row, call, d.rng)

    derivatives_are_those_measured()


@every_row
def test_float32_stays_float32(row):
    @examples(6)
    @given(calls(row))
    def check(drawn):
        d, call = drawn
        leaves, double = tensors(row.leaves(call), np.float32), tensors(row.leaves(call))
        ours, wanted = row(call, leaves, np.float32), row(call, double)
        vs = cotangents(ours, d.rng)
        cast = row.operation == "cast"
        for y, w in zip(ours, wanted, strict=True):
            assert cast or y.dtype == (np.float32 if w.dtype.kind == "f" else w.dtype)
            close(y.array, w.array, 1e-3)
        gradients = pulled_back(ours, leaves, vs)
        for g, h in zip(gradients, pulled_back(wanted, double, [v if v is None else v.astype(np.float64) for v in vs]), strict=True):
            assert g.dtype == np.float32
            close(g, h, 1e-2)

    check()


def transposed(a):
    return a.T.copy().T


def strided(a):
    return np.repeat(a[..., None], 2, axis=-1)[..., 0]


def backwards(a):
    return np.asarray(np.flip(np.flip(a).copy()))


@every_row
def test_memory_layout_does_not_matter_and_nothing_is_written_to(row):
    @examples(4)
    @given(calls(row), st.sampled_from([transposed, strided, backwards]))
    def check(drawn, layout):
        d, call = drawn
        arrays = row.leaves(call)
        args, kwargs = row.filled(call, layout, layout)
        moved = type(call)(args, kwargs)
        before = [a.tobytes() for a in row.leaves(moved)]
        plain, other = tensors(arrays), [mm.Tensor(a, requires_grad=True) for a in row.leaves(moved)]
        ours, wanted = row(moved, other), row(call, plain)
        vs = cotangents(wanted, d.rng)
        kept = [v if v is None else v.copy() for v in vs]
        for y, w in zip(ours, wanted, strict=True):
            close(y.array, w.array, 1e-12)
        for g, h in zip(pulled_back(ours, other, vs), pulled_back(wanted, plain, vs), strict=True):
            close(g, h, 1e-12)
        assert [a.tobytes() for a in row.leaves(moved)] == before
        for v, k in zip(vs, kept, strict=True):
            np.testing.assert_array_equal(v, k)

    check()
