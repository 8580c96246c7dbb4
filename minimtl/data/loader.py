"""From samples to batches: N samples in some order, cut into pieces of B."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.dtypes import from_python
from minimtl.random import Generator, rng_of


class Samples(Protocol):
    """What a loader needs of a data set: `len(dataset)` samples, `dataset[i]` the i-th."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int, /) -> Any: ...


def default_collate(samples: Sequence[Any]) -> Any:
    """N samples of shape (…) → one batch (N, …); tuples and dicts of such, member by member.

    Tensors and arrays keep their dtype, Python numbers become float32, int64 or bool, strings stay a list.
    """
    if not samples:
        raise ValueError("collate: needs at least one sample, got none")
    first = samples[0]
    if isinstance(first, Mapping):
        if any(not isinstance(s, Mapping) or s.keys() != first.keys() for s in samples):
            raise ValueError(f"collate: all samples need the keys {', '.join(map(str, first))} of the first")
        return {key: default_collate([s[key] for s in samples]) for key in first}
    if isinstance(first, (tuple, list)):
        if any(not isinstance(s, (tuple, list)) or len(s) != len(first) for s in samples):
            raise ValueError(f"collate: all samples need {len(first)} members, as the first has")
        return tuple(default_collate(members) for members in zip(*samples, strict=True))
    if isinstance(first, str):
        return list(samples)
    if not isinstance(first, (Tensor, np.ndarray, np.generic, int, float)):
        raise TypeError(f"collate: needs Tensors, arrays, numbers, tuples or dicts, got {type(first).__name__}")
    members = [s.array if isinstance(s, Tensor) else s for s in samples]
    shapes = {np.shape(m) for m in members}
    if len(shapes) > 1:
        raise ValueError(f"collate: samples of one batch need one shape, got {' and '.join(map(str, sorted(shapes)))}")
    return Tensor(from_python(members))


def sample(batch: Any, index: int) -> Any:
    """The sample at `index` of a batch (N, …) → (…), a Python number where no axis is left; undoes collating."""
    if isinstance(batch, Mapping):
        return {key: sample(member, index) for key, member in batch.items()}
    if isinstance(batch, (tuple, list)):
        return tuple(sample(member, index) for member in batch)
    member = batch.array[index]
    return Tensor(member) if member.ndim else member.item()


def length(batch: Any) -> int:
    """N of a batch (N, …)."""
    if isinstance(batch, Mapping):
        return length(next(iter(batch.values())))
    return length(batch[0]) if isinstance(batch, (tuple, list)) else len(batch.array)


def fetch(dataset: Samples, indices: Array, collate: Callable[[list[Any]], Any] | None = None) -> Any:
    """The batch of the samples at `indices` (B,), by `dataset.__getitems__` in one go where the data set has it.

    A list from `__getitems__` holds single samples, as in PyTorch, and is collated; anything else is the batch. A
    `collate` of one's own always gets the single samples.
    """
    together = getattr(dataset, "__getitems__", None)
    if collate is None and together is not None:
        batch = together(indices)
        return default_collate(batch) if isinstance(batch, list) else batch
    return (collate or default_collate)([dataset[i] for i in indices.tolist()])


class WeightedRandomSampler:
    """`num_samples` indices, i in proportion to weights[i]      with replacement, or each at most once

    As a loader's `sampler`: with 1/N_c for the samples of class c (`mtl.balanced`) all classes come equally often.
    """

    def __init__(self, weights: Any, num_samples: int, replacement: bool = True, generator: Generator | None = None) -> None:
        w = np.asarray(getattr(weights, "array", weights), dtype=float)
        if w.ndim != 1 or not np.isfinite(w).all() or w.min(initial=0) < 0 or not w.any():
            raise ValueError(f"WeightedRandomSampler: weights must be finite, not negative and not all 0, got {weights!r:.200}")
        if not isinstance(num_samples, (int, np.integer)) or num_samples < 1:
            raise ValueError(f"WeightedRandomSampler: num_samples must be an integer of at least 1, got {num_samples!r}")
        if not replacement and num_samples > (w > 0).sum():
            raise ValueError(f"WeightedRandomSampler: {(w > 0).sum()} samples do not give {num_samples} without replacement")
        self.p, self.num_samples, self.replacement, self.generator = w / w.sum(), int(num_samples), replacement, generator

    def __len__(self) -> int:
        return self.num_samples

    def __iter__(self) -> Iterator[int]:
        rng = rng_of(self.generator)
        yield from rng.choice(len(self.p), self.num_samples, self.replacement, self.p).tolist()


class DataLoader:
    """N samples → ⌈N / B⌉ batches of B = `batch_size`, the last one smaller; ⌊N / B⌋ with `drop_last`.

    With `shuffle` every pass draws a new order from `generator`, or the one that `manual_seed` seeds: a seed fixes all
    passes. A `sampler` gives the indices of a pass instead, and N is its length. `num_workers` is there for scripts written
    for PyTorch; one indexing a batch leaves workers nothing to do. `data.Prefetched` reads files in the background.
    """

    def __init__(
        self,
        dataset: Samples,
        batch_size: int = 1,
        shuffle: bool = False,
        sampler: Any = None,
        *,
        drop_last: bool = False,
        collate_fn: Callable[[list[Any]], Any] | None = None,
        generator: Generator | None = None,
        num_workers: int = 0,
    ) -> None:
        if not isinstance(batch_size, (int, np.integer)) or isinstance(batch_size, bool) or batch_size < 1:
            raise ValueError(f"DataLoader: batch_size must be an integer of at least 1, got {batch_size!r}")
        if not hasattr(dataset, "__len__") or not hasattr(dataset, "__getitem__"):
            raise TypeError(f"DataLoader: dataset needs a length and an index, {type(dataset).__name__} lacks them")
        if generator is not None and not isinstance(generator, Generator):
            raise TypeError(f"DataLoader: generator must be a minimtl Generator, got {type(generator).__name__}")
        if sampler is not None and (shuffle or not hasattr(sampler, "__len__") or not hasattr(sampler, "__iter__")):
            raise ValueError("DataLoader: sampler must have a length and give indices, and excludes shuffle")
        self.dataset, self.batch_size, self.shuffle, self.drop_last = dataset, int(batch_size), shuffle, drop_last
        self.sampler = sampler
        self.collate_fn, self.generator, self.num_workers = collate_fn, generator, num_workers

    def __len__(self) -> int:
        whole, rest = divmod(len(self.dataset if self.sampler is None else self.sampler), self.batch_size)
        return whole + (rest > 0 and not self.drop_last)

    def __iter__(self) -> Iterator[Any]:
        n = len(self.dataset)
        if self.sampler is not None:
            order = np.fromiter(self.sampler, dtype=np.int64)
        else:
            order = rng_of(self.generator).permutation(n) if self.shuffle else np.arange(n)
        for batch in range(len(self)):
            yield fetch(self.dataset, order[batch * self.batch_size :][: self.batch_size], self.collate_fn)
