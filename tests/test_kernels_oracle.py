"""The image and normalisation kernels against PyTorch: values and gradients in float64, to 1e-10."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from kernel_cases import KERNELS, Kernel, normal, of_layer, run, seeds

from minimtl.backend import Array
from minimtl.testing import strategies

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.oracle
every_kernel = pytest.mark.parametrize("kernel", KERNELS, ids=repr)
many = settings(deadline=None, max_examples=60)


def agree(kernel: Kernel, arrays: list[Any], options: tuple[Any, ...], seed: int, tolerance: float) -> None:
    """Values, gradients, their shapes and their dtypes are PyTorch's."""
    theirs = [None if a is None else torch.tensor(a, requires_grad=True) for a in arrays]
    expected = kernel.torch(torch, *theirs, *options)
    expected = expected if isinstance(expected, tuple) else (expected,)
    values, maps = run(kernel, arrays, options)
    for got, wanted in zip(values, expected, strict=True):
        close(got, wanted.detach().numpy(), tolerance)
    g = normal(seed, *values[0].shape).astype(values[0].dtype)
    expected[0].backward(torch.tensor(g))
    for back, t in zip(maps, theirs, strict=True):
        if t is not None and back is not None:
            close(back(g), t.grad.numpy(), tolerance)


def close(got: Array, wanted: Array, tolerance: float) -> None:
    assert (got.shape, got.dtype) == (wanted.shape, wanted.dtype)
    np.testing.assert_allclose(got, wanted, rtol=tolerance, atol=tolerance * max(1.0, np.abs(wanted).max(initial=0)))


@every_kernel
def test_float64(kernel: Kernel) -> None:
    @given(case=kernel.cases, seed=seeds)
    @many
    def check(case: Any, seed: int) -> None:
        agree(kernel, *case, seed, 1e-10)

    check()


@every_kernel
def test_float32_stays_float32(kernel: Kernel) -> None:
    arrays, options = kernel.specimen
    agree(kernel, [a.astype(np.float32) for a in arrays], options, 0, 1e-4)


@pytest.mark.parametrize("kernel", [k for k in KERNELS if k.name != "batch_norm"], ids=repr)
def test_empty_batch(kernel: Kernel) -> None:
    """Batch norm left out: of nothing PyTorch takes NaN for the mean, the kernel 0."""
    (x, *others), options = kernel.specimen
    agree(kernel, [x[:0], *others], options, 0, 1e-10)


@given(case=of_layer(strategies.poolings(), 1), seed=seeds)
@many
def test_max_pool_with_ties(case: Any, seed: int) -> None:
    (x,), options = case
    agree(next(k for k in KERNELS if k.name == "max_pool2d"), [np.floor(3 * x) % 3], options, seed, 1e-10)
