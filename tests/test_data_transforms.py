"""Transforms: the same numbers for a sample alone and within its batch."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.data import ImageDataset
from minimtl.data.transforms import Compose, Lambda, Normalize, ToTensor, apply


def images(n: int, *shape: int, seed: int = 0) -> Tensor:
    return Tensor(np.random.default_rng(seed).integers(256, size=(n, *shape), dtype=np.uint8))


def flatten(x: Tensor) -> Tensor:
    """A transform as PyTorch's readers write it: of one sample, with no thought of a batch."""
    return x.reshape(-1)


CHAINS: dict[str, Any] = {
    "none": None,
    "ours": Compose([ToTensor(), Normalize(0.5, 0.5)]),
    "function": lambda x: Tensor(x.array.max(keepdims=True)),
    "ours, then a function": Compose([ToTensor(), Normalize((0.1307,), (0.3081,)), flatten]),
    "ours, then a Lambda": Compose([ToTensor(), Lambda(flatten)]),
    "nested": Compose([Compose([ToTensor()]), Lambda(lambda x: x * 2, batched=True)]),
}


@given(name=st.sampled_from(list(CHAINS)), n=st.integers(1, 4), height=st.integers(1, 5), seed=st.integers(0, 9))
@settings(deadline=None)
def test_a_sample_and_its_batch_agree(name: str, n: int, height: int, seed: int) -> None:
    x = images(n, height, 5, seed=seed)
    dataset = ImageDataset(x, Tensor(np.arange(n)), CHAINS[name], lambda y: {"digit": y, "even": int(y % 2 == 0)})
    batch, labels = dataset.__getitems__(np.arange(n))
    for i in range(n):
        image, label = dataset[i]
        np.testing.assert_array_equal(batch.array[i], image.array)
        assert batch.dtype == image.dtype
        assert {key: value.array[i] for key, value in labels.items()} == label


def test_to_tensor_divides_by_255() -> None:
    x = images(3, 4, 5)
    for given_, expected in (
        (x, x.array[:, None] / np.float32(255)),
        (x.array[0], x.array[0][None] / np.float32(255)),
        (images(2, 4, 5, 3), np.moveaxis(images(2, 4, 5, 3).array, -1, 1) / np.float32(255)),
    ):
        y = ToTensor()(given_)
        assert y.dtype == np.float32
        np.testing.assert_array_equal(y.array, expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_normalize_keeps_the_dtype(dtype: type) -> None:
    x: Array = np.random.default_rng(0).normal(size=(2, 3, 4, 5)).astype(dtype)
    mean: Array = np.array([0.1, 0.2, 0.3], dtype)
    std: Array = np.array([1, 2, 3], dtype)
    y = Normalize([0.1, 0.2, 0.3], [1.0, 2.0, 3.0])(Tensor(x))
    assert y.dtype == dtype
    np.testing.assert_array_equal(y.array, (x - mean[:, None, None]) / std[:, None, None])
    np.testing.assert_array_equal(Normalize(0.5, 0.5)(Tensor(x)).array, (x - dtype(0.5)) / dtype(0.5))


def test_a_batched_lambda_is_called_once() -> None:
    calls = []

    def double(x: Tensor) -> Tensor:
        calls.append(x.shape)
        return x + x

    apply(Lambda(double, batched=True), images(4, 2, 2))
    apply(Lambda(double), images(4, 2, 2))
    assert calls == [(4, 2, 2)] + [(2, 2)] * 4


def test_they_print_what_they_do() -> None:
    chain = Compose([ToTensor(), Normalize(0.5, [0.25]), Lambda(flatten)])
    assert repr(chain) == "Compose([ToTensor(), Normalize(mean=[0.5], std=[0.25]), Lambda(flatten)])"


@pytest.mark.parametrize(
    ("call", "error", "says"),
    [
        (lambda: ToTensor()(Tensor(np.zeros((2, 2), np.float32))), ValueError, r"needs uint8 .*got float32 \(2, 2\)"),
        (lambda: ToTensor()(images(1, 2, 2, 2)), ValueError, r"got uint8 \(1, 2, 2, 2\)"),
        (lambda: ToTensor()(images(2)), ValueError, r"got uint8 \(2,\)"),
        (lambda: Normalize(0.5, 0), ValueError, "std must be greater than 0, got 0"),
        (lambda: Normalize(float("nan"), 1), ValueError, "Normalize: mean"),
        (lambda: Normalize(np.ones((1, 1)), 1), ValueError, "a number or one for each channel"),
        (lambda: Normalize(0.5, 0.5)(images(1, 2, 2)), ValueError, r"needs floating-point .*got uint8 \(1, 2, 2\)"),
        (lambda: Normalize([0, 0], 1)(Tensor(np.ones((3, 4, 4)))), ValueError, "mean has 2 channels, .* have 3"),
        (lambda: Lambda(None), TypeError, "lambd must be a function, got NoneType"),  # type: ignore[arg-type]
    ],
)
def test_refusals(call: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        call()
