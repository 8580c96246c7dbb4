"""Every operation of the table: its value, its gradients, its types of numbers, any memory layout."""

import numpy as np
import pytest
from draws import Draw, call
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from operations import CREATION, LAYOUTS, OPERATIONS, cotangents, pulled_back, tensors

import minimtl as mm
from minimtl import ops
from minimtl.testing import gradcheck

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
    assert {row.operation for row in OPERATIONS} == public - CREATION


@pytest.mark.parametrize("row", [row for row in OPERATIONS if row.naive], ids=repr)
@pytest.mark.parametrize("tied", [False, True], ids=["smooth", "tied"])
def test_value_is_the_definition(row, tied):
    @examples(3)
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
def test_gradients_are_those_measured(row):
    """With all that `gradcheck` looks at: memory layouts, one tensor for two arguments, a second backward …"""

    @examples(3)
    @given(calls(row))
    def check(drawn):
        d, call = drawn
        leaves = row.leaves(call)

        def f(*leaves):
            return row(call, leaves)

        f.__name__ = row.name
        values = [y.array for y in f(*tensors(leaves)) if y.dtype.kind == "f"]
        if leaves and values and all(np.isfinite(y).all() for y in values):  # the mean of nothing is NaN
            report = gradcheck(f, *leaves, seed=int(d.rng.integers(2**16)), raise_exception=False)
            assume(report.verdict != "inconclusive")  # two numbers that are spaced may yet be so in size
            assert report, str(report)

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
