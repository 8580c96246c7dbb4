"""Loaders and data sets: every sample exactly once, in an order that the seed fixes, one by one or in whole batches."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from minimtl.autograd import Tensor
from minimtl.data import (
    DataLoader,
    Dataset,
    ImageDataset,
    Subset,
    TensorDataset,
    default_collate,
    random_split,
)
from minimtl.random import Generator, manual_seed


class Squares(Dataset):
    """Sample i is (i, {"square": i², "half": i / 2}): as a reader would write it, without `__getitems__`."""

    def __init__(self, n: int) -> None:
        self.n = n

    def __len__(self) -> int:
        return self.n

    def __getitem__(self, i: int) -> tuple[int, dict[str, float]]:
        return i, {"square": i * i, "half": i / 2}


class Counted(Squares):
    """The same, listing the samples of a batch itself, as PyTorch has it."""

    def __getitems__(self, indices: Sequence[int]) -> list[Any]:
        return [self[int(i)] for i in indices]


def numbers(n: int) -> TensorDataset:
    return TensorDataset(Tensor(np.arange(n)))


def pictures(n: int) -> ImageDataset:
    """Picture i is full of i, and so is its label."""
    i = np.arange(n)
    return ImageDataset(Tensor(np.tile(i.astype(np.uint8)[:, None, None], (1, 4, 4))), Tensor(i))


KINDS: dict[str, Callable[[int], Any]] = {
    "tensors": numbers,
    "images": pictures,
    "samples": Squares,
    "lists": Counted,
    "list": lambda n: list(range(n)),
    "subset": lambda n: Subset(Squares(2 * n), range(n)),
    "subset of tensors": lambda n: Subset(numbers(2 * n), range(n)),
}


def seen(loader: DataLoader) -> list[list[int]]:
    """The sample numbers of each batch of one pass."""

    def of(batch: Any) -> list[int]:
        while not isinstance(batch, Tensor):
            batch = batch[-1] if isinstance(batch[-1], Tensor) else batch[0]
        return batch.array.tolist()  # type: ignore[no-any-return]

    return [of(batch) for batch in loader]


# Loader


@given(
    kind=st.sampled_from(list(KINDS)),
    n=st.integers(0, 12),
    batch_size=st.integers(1, 14),
    shuffle=st.booleans(),
    drop_last=st.booleans(),
)
@settings(deadline=None)
def test_every_sample_exactly_once(kind: str, n: int, batch_size: int, shuffle: bool, drop_last: bool) -> None:
    loader = DataLoader(KINDS[kind](n), batch_size, shuffle, drop_last=drop_last)
    batches = seen(loader)
    assert len(batches) == len(loader)
    assert all(len(batch) == batch_size for batch in batches[:-1])
    order = [i for batch in batches for i in batch]
    assert len(set(order)) == len(order)
    assert len(order) == (n - n % batch_size if drop_last else n)
    assert set(order) <= set(range(n))
    if not shuffle:
        assert order == sorted(order)


def test_a_seed_fixes_all_passes() -> None:
    first = DataLoader(numbers(50), 7, shuffle=True, generator=Generator(3))
    again = DataLoader(numbers(50), 7, shuffle=True, generator=Generator(3))
    passes = [seen(first) for _ in range(3)]
    assert passes == [seen(again) for _ in range(3)]
    assert passes[0] != passes[1] != passes[2]
    manual_seed(5)
    default = seen(DataLoader(numbers(50), 7, shuffle=True))
    manual_seed(5)
    assert default == seen(DataLoader(numbers(50), 7, shuffle=True))


def test_an_unshuffled_loader_draws_nothing() -> None:
    generator = Generator(0)
    before = generator.rng.bit_generator.state
    seen(DataLoader(numbers(5), generator=generator))
    assert generator.rng.bit_generator.state == before


def test_a_collate_of_ones_own_gets_single_samples() -> None:
    for dataset in (numbers(4), Squares(4), Counted(4)):
        loader = DataLoader(dataset, 2, collate_fn=len)
        assert list(loader) == [2, 2]


def test_one_indexing_makes_a_batch() -> None:
    calls = []

    class Watched(Squares):
        def __getitems__(self, indices: Any) -> Tensor:
            calls.append(indices.tolist())
            return Tensor(indices)

    assert seen(DataLoader(Watched(5), 3)) == [[0, 1, 2], [3, 4]]
    assert calls == [[0, 1, 2], [3, 4]]


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, True, None, "8"])
def test_a_wrong_batch_size_is_refused(batch_size: Any) -> None:
    with pytest.raises(ValueError, match="batch_size must be an integer of at least 1, got") as error:
        DataLoader(numbers(3), batch_size)
    assert repr(batch_size) in str(error.value)


def test_wrong_datasets_and_generators_are_refused() -> None:
    with pytest.raises(TypeError, match="dataset needs a length and an index, generator lacks them"):
        DataLoader(i for i in range(3))  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="generator must be a minimtl Generator, got int"):
        DataLoader(numbers(3), generator=3)  # type: ignore[arg-type]
    with pytest.raises(NotImplementedError, match="Dataset needs a method __len__"):
        len(Dataset())
    with pytest.raises(NotImplementedError, match="Dataset needs a method __getitem__"):
        Dataset()[0]


# Collating


def test_collate_dtypes_are_those_of_tensors() -> None:
    samples = [(1, 2.0, True, np.float64(3), np.uint8(4), Tensor(np.zeros(2, np.float16)), {"a": 5}, "six")] * 2
    *batch, dictionary, strings = default_collate(samples)
    assert [b.dtype.name for b in batch] == ["int64", "float32", "bool", "float64", "uint8", "float16"]
    assert [b.shape for b in batch] == [(2,)] * 5 + [(2, 2)]
    assert dictionary["a"].array.tolist() == [5, 5]
    assert strings == ["six", "six"]
    assert default_collate([1, 2.5]).dtype == np.float32


@pytest.mark.parametrize(
    ("samples", "error", "says"),
    [
        ([], ValueError, "at least one sample"),
        ([np.zeros(2), np.zeros(3)], ValueError, r"one shape, got \(2,\) and \(3,\)"),
        ([(1, 2), (1,)], ValueError, "all samples need 2 members"),
        ([{"a": 1}, {"b": 1}], ValueError, "all samples need the keys a of the first"),
        ([None], TypeError, "got NoneType"),
    ],
)
def test_collate_refusals(samples: list[Any], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        default_collate(samples)


# Data sets


def test_tensor_dataset() -> None:
    x, y = Tensor(np.arange(6.0).reshape(3, 2)), Tensor(np.array([7, 8, 9]))
    dataset = TensorDataset(x, y)
    assert [t.array.tolist() for t in dataset[-1]] == [[4, 5], 9]
    assert [t.array.tolist() for t in dataset.__getitems__(np.array([2, 0]))] == [[[4, 5], [0, 1]], [9, 7]]
    assert [t.array.tolist() for t in TensorDataset(np.arange(3))[1]] == [1]  # type: ignore[arg-type]
    for tensors in ((), (x, Tensor(np.arange(2))), (Tensor(np.array(1)),)):
        with pytest.raises(ValueError, match="TensorDataset: needs tensors with equally many rows, got shapes"):
            TensorDataset(*tensors)


@pytest.mark.parametrize("make", [numbers, pictures, lambda n: Subset(list(range(n)), range(n))])
def test_wrong_indices_are_refused(make: Callable[[int], Any]) -> None:
    dataset = make(4)
    for index in (4, -5):
        with pytest.raises(IndexError, match=f"index {index} lies outside its 4 samples"):
            dataset[index]
        with pytest.raises(IndexError, match=f"index {index} lies outside its 4 samples"):
            dataset.__getitems__([0, index])
    with pytest.raises(TypeError, match="an index is one integer, got slice"):
        dataset[:2]
    with pytest.raises(TypeError, match="indices must be a list of integers, got float64"):
        dataset.__getitems__([0.5])
    with pytest.raises(TypeError, match="indices must be a list of integers, got bool"):
        dataset.__getitems__([True, False, True, False])
    with pytest.raises(IndexError, match="index 4 lies outside its 4 samples"):
        Subset(dataset, [4])
    assert Subset(dataset, [-1, 0]).indices.tolist() == [3, 0]


@given(parts=st.lists(st.integers(0, 6), min_size=1, max_size=4), seed=st.integers(0, 9))
@settings(deadline=None)
def test_random_split_is_a_partition(parts: list[int], seed: int) -> None:
    dataset = list(range(sum(parts)))
    subsets = random_split(dataset, parts, Generator(seed))
    assert [len(subset) for subset in subsets] == parts
    assert sorted(subset[i] for subset in subsets for i in range(len(subset))) == dataset
    again = random_split(dataset, parts, Generator(seed))
    assert [list(subset.indices) for subset in subsets] == [list(subset.indices) for subset in again]


def test_random_split_by_fractions() -> None:
    assert [len(s) for s in random_split(range(10), [0.8, 0.2])] == [8, 2]
    assert [len(s) for s in random_split(range(11), [0.5, 0.25, 0.25])] == [6, 3, 2]
    assert [len(s) for s in random_split(range(7), [0.1] * 10)] == [1] * 7 + [0] * 3


@pytest.mark.parametrize("lengths", [[3, 3], [5, -1], [0.5, 0.4], [1.5, -0.5], [float("nan"), 0.5], []])
def test_random_split_refusals(lengths: list[float]) -> None:
    with pytest.raises(ValueError, match=r"random_split: .* must add up to"):
        random_split(range(4), lengths)
