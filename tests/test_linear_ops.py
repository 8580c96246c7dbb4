"""Linear operations and their adjoints, compared to the last digits: ⟨v, A u⟩ = ⟨Aᵀ v, u⟩."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given

import minimtl as mm
import minimtl.nn.functional as F
from minimtl.testing import GradientError, check_linear_op
from minimtl.testing.strategies import convolutions, poolings, transposed_convolutions

X = np.zeros((4, 3, 5))
INDEX = mm.tensor([0, 2, 2, 3])

LINEAR = {
    "sum": lambda x: x.sum(dim=1),
    "mean": lambda x: x.mean(dim=(0, 2), keepdim=True),
    "reshape": lambda x: x.reshape(3, 20),
    "flatten": lambda x: x.flatten(1),
    "permute": lambda x: x.permute(2, 0, 1),
    "transpose": lambda x: x.transpose(0, 2),
    "squeeze": lambda x: x.unsqueeze(1).squeeze(1),
    "expand": lambda x: x.unsqueeze(0).expand(2, 4, 3, 5),
    "slices": lambda x: x[1:3, ::-1, 2],
    "repeated indices": lambda x: x[INDEX],
    "index_select": lambda x: x.index_select(1, mm.tensor([2, 2, 0])),
    "mask": lambda x: x[mm.tensor([True, False, True, True])],
    "pad": lambda x: F.pad(x, (1, 2, -1, 1)),
    "cat": lambda x: mm.cat([x, x[:2], x], dim=0),
    "stack": lambda x: mm.stack([x, 2 * x]),
    "split": lambda x: x.split([1, 3]),
    "einsum": lambda x: mm.einsum("ijk,k->ji", x, mm.arange(5).double()),
    "matmul": lambda x: x @ mm.arange(10).double().reshape(5, 2),
    "linear": lambda x: F.linear(x, mm.arange(10).double().reshape(2, 5)),
    "adaptive_avg_pool2d": lambda x: F.adaptive_avg_pool2d(x.unsqueeze(0), (2, 3)),
    "interpolate": lambda x: F.interpolate(x.unsqueeze(0), (7, 4)),
    "arithmetic": lambda x: 3 * x - x / 2 + (-x),
}


@pytest.mark.parametrize("A", LINEAR.values(), ids=LINEAR)
def test_adjoints(A):
    assert check_linear_op(A, X).worst < 1e-14


@given(convolutions())
def test_convolution(case):
    x, w, *_ = case.tensors
    for A, u in ((lambda x: F.conv2d(x, w, **case.options), x), (lambda w: F.conv2d(x, w, **case.options), w)):
        check_linear_op(A, u)


@given(transposed_convolutions())
def test_transposed_convolution_is_the_adjoint_of_convolution(case):
    x, w, *_ = case.tensors
    o = case.options
    stride, padding, dilation, groups = o["stride"], o["padding"], o["dilation"], o["groups"]

    def At(v):
        y = F.conv2d(v, w, None, stride, padding, dilation, groups)
        return y[:, :, : x.shape[2], : x.shape[3]]  # output padding may make room for more windows

    check_linear_op(lambda x: F.conv_transpose2d(x, w, **o), x, At)


@given(poolings(average=True))
def test_average_pooling(case):
    check_linear_op(partial(F.avg_pool2d, **case.options), *case.tensors)


@mm.differentiable
def half(x):
    return x / 2, lambda G: G / 2.001


def test_a_wrong_adjoint_and_a_map_that_is_not_linear_are_refused():
    with pytest.raises(GradientError, match="not the adjoint"):
        check_linear_op(half, X)
    with pytest.raises(GradientError, match="not the adjoint"):
        check_linear_op(lambda x: x[INDEX], X, lambda v: v * 1.5)
    with pytest.raises(GradientError, match="has the shapes"):
        check_linear_op(lambda x: x[:2], X, lambda v: v)
    for A in (mm.relu, lambda x: x + 1, lambda x: x * x):
        with pytest.raises(GradientError, match="is not linear"):
            check_linear_op(A, X)
