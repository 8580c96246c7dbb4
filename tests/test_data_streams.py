"""Loaders around loaders: the same batches in the same order, errors where they belong, no thread left behind."""

import gc
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import minimtl as mm
from minimtl.data import DataLoader, Dataset, Mapped, Prefetched, TensorDataset, augment
from minimtl.data.streams import Ahead
from minimtl.grad_mode import is_grad_enabled
from minimtl.random import Generator, default_draws_refused


class Noisy(Dataset):
    """Samples that are drawn when they are asked for."""

    def __init__(self, n: int, generator: Generator | None) -> None:
        self.n, self.generator = n, generator

    def __len__(self) -> int:
        return self.n

    def __getitems__(self, indices: Any) -> Any:
        return mm.rand(len(indices), 2, generator=self.generator), mm.tensor(np.asarray(indices))


class Failing(Dataset):
    """One sample cannot be had."""

    def __init__(self, bad: int) -> None:
        self.bad = bad

    def __len__(self) -> int:
        return 10

    def __getitem__(self, i: int) -> int:
        if i == self.bad:
            raise OSError(f"sample {i} is damaged")
        return i


def background() -> list[threading.Thread]:
    return [t for t in threading.enumerate() if t.name == "minimtl.data.Prefetched"]


@pytest.fixture(autouse=True)
def _no_thread_is_left() -> Iterator[None]:
    assert background() == []
    yield
    gc.collect()
    assert background() == []


def bytes_of(loader: Any) -> list[tuple[bytes, ...]]:
    return [tuple(t.numpy().tobytes() for t in batch) for batch in loader]


@given(n=st.integers(0, 12), B=st.integers(1, 5), depth=st.integers(1, 4), shuffle=st.booleans(), seed=st.integers(0, 9))
@settings(deadline=None)
def test_order_and_bytes_are_those_of_the_loader(n: int, B: int, depth: int, shuffle: bool, seed: int) -> None:
    def passes(around: bool) -> list[Any]:
        mm.manual_seed(seed)
        loader: Any = DataLoader(Noisy(n, Generator(seed)), B, shuffle)
        stream = Prefetched(loader, depth) if around else loader
        assert len(stream) == len(loader) and stream.dataset is loader.dataset
        seen = []
        for _ in range(2):
            for batch in stream:
                seen.append((bytes_of([batch]), float(mm.rand(1).item())))  # what a dropout would draw meanwhile
        return seen

    assert passes(True) == passes(False)


def test_a_draw_in_the_background_from_the_generator_of_all_is_refused() -> None:
    stream = Prefetched(DataLoader(Noisy(6, None), 2))
    seen = []
    with pytest.raises(RuntimeError, match="Prefetched: in the background nothing can be drawn .* a generator="):
        for x, _ in stream:
            seen.append(x)
    assert len(seen) == 1
    mm.rand(2)  # here nothing is refused
    with default_draws_refused("here"):
        mm.rand(2, generator=Generator(0))
        with pytest.raises(RuntimeError, match="here nothing can be drawn from the default generator"):
            mm.rand(2)
    mm.rand(2)


@pytest.mark.parametrize("bad", range(10))
def test_an_error_comes_out_behind_the_batches_before_it(bad: int) -> None:
    seen = []
    with pytest.raises(OSError, match=f"sample {bad} is damaged"):
        for batch in Prefetched(DataLoader(Failing(bad), 2)):
            seen.append(batch.tolist())
    assert seen == [[2 * i, 2 * i + 1] for i in range(bad // 2)]


def test_leaving_early_ends_the_thread_and_closes_the_loader() -> None:
    closed = []

    class Endless:
        dataset: Any = range(3)

        def __len__(self) -> int:
            return 10**9

        def __iter__(self) -> Iterator[int]:
            try:
                yield from range(10**9)
            finally:
                closed.append(True)

    for batch in Prefetched(Endless()):
        if batch == 3:
            break
    assert closed == [True] and background() == []
    with pytest.raises(ZeroDivisionError):
        for batch in Prefetched(Endless()):
            1 / (batch - 1)
    stream = iter(Prefetched(Endless()))
    next(stream)
    assert len(background()) == 1
    stream.close()
    assert closed == [True] * 3 and background() == []
    held = iter(Prefetched(Endless()))
    next(held), next(held)
    del held
    assert background() == []


@pytest.mark.parametrize("depth", [1, 3])
def test_no_more_than_depth_batches_wait(depth: int) -> None:
    asked = []

    def numbers() -> Iterator[int]:
        for i in range(100):
            asked.append(i)
            yield i

    ahead = Ahead(numbers(), depth)
    try:
        for taken, _ in zip(range(5), ahead, strict=False):
            with ahead.changed:  # until the thread has filled what it may
                assert ahead.changed.wait_for(lambda: len(ahead.ready) == depth, timeout=10)
            time.sleep(0.01)
            assert len(asked) <= taken + 1 + depth
    finally:
        ahead.stop()


def test_the_background_works_while_the_consumer_does() -> None:
    """The second batch is ready before it is asked for."""
    made = threading.Event()

    def batches() -> Iterator[int]:
        yield 1
        made.set()
        yield 2

    class Two:
        dataset = range(2)

        def __len__(self) -> int:
            return 2

        def __iter__(self) -> Iterator[int]:
            return batches()

    stream = iter(Prefetched(Two()))
    next(stream)
    assert made.wait(10)
    assert list(stream) == [2]


def test_two_passes_at_once_do_not_mix() -> None:
    stream = Prefetched(DataLoader(TensorDataset(mm.arange(6)), 2))
    pairs = [(a[0].tolist(), b[0].tolist()) for a, b in zip(stream, stream, strict=True)]
    assert pairs == [([0, 1],) * 2, ([2, 3],) * 2, ([4, 5],) * 2]
    assert list(Prefetched([])) == [] and list(Prefetched([7])) == [7]


def test_gradients_are_recorded_as_ever() -> None:
    for _ in Prefetched(DataLoader(TensorDataset(mm.arange(6)), 2)):
        assert is_grad_enabled()


def test_mapped_batches() -> None:
    loader = DataLoader(TensorDataset(mm.rand(6, 3), mm.tensor([0, 1, 2, 0, 1, 2])), 4)
    mix = augment.MixUp(num_classes=3, generator=Generator(0))
    mixed = Mapped(loader, mix)
    assert len(mixed) == 2 and mixed.dataset is loader.dataset
    assert [(x.shape, y.shape) for x, y in mixed] == [((4, 3), (4, 3)), ((2, 3), (2, 3))]
    mix.generator = Generator(0)
    first, second = bytes_of(mixed), bytes_of(mixed)
    assert first != second
    again = Prefetched(Mapped(loader, augment.MixUp(num_classes=3, generator=Generator(0))))
    assert [bytes_of(again), bytes_of(again)] == [first, second]


@pytest.mark.parametrize("depth", [0, 1.5, True])
def test_refusals(depth: Any) -> None:
    with pytest.raises(ValueError, match="Prefetched: depth must be an integer of at least 1"):
        Prefetched([], depth)
    for kind in (Prefetched, lambda loader: Mapped(loader, len)):
        with pytest.raises(TypeError, match="needs a loader with a length, got generator"):
            kind(i for i in range(3))
    with pytest.raises(TypeError, match="Mapped: f must be a function of a batch, got int"):
        Mapped([], 3)  # type: ignore[arg-type]
