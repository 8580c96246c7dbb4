"""Data sets: `dataset[i]` is one sample, `dataset.__getitems__(indices)` a batch, `len(dataset)` how many there are."""

import operator
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.data.loader import Samples, fetch, sample
from minimtl.data.transforms import Transform, apply
from minimtl.equation import equation
from minimtl.random import Generator, rng_of


class Dataset:
    """(x₁, y₁), …, (x_N, y_N): the base of one's own data sets, which write `__len__` and `__getitem__`.

    A data set that can index many samples faster together also writes `__getitems__(indices)`, which returns the batch.
    """

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} needs a method __len__(self)")

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} needs a method __getitem__(self, index)")


def position(dataset: Samples, index: object) -> int:
    """The index as a number from 0 to N − 1; −1 is the last sample."""
    name, n = type(dataset).__name__, len(dataset)
    try:
        i = operator.index(index)  # type: ignore[arg-type]
    except TypeError:
        raise TypeError(f"{name}: an index is one integer, got {index!r}; Subset takes many") from None
    if not -n <= i < n:
        raise IndexError(f"{name}: index {i} lies outside its {n} samples")
    return i % n


def positions(dataset: Samples, indices: object) -> Array:
    """The indices (B,), integers, as int64 from 0 to N − 1."""
    name, n = type(dataset).__name__, len(dataset)
    array = indices.array if isinstance(indices, Tensor) else np.asarray(indices)
    if array.ndim != 1 or (array.dtype.kind not in "iu" and array.size):
        raise TypeError(f"{name}: indices must be a list of integers, got {array.dtype} {array.shape}")
    outside = array[(array < -n) | (array >= n)]
    if outside.size:
        raise IndexError(f"{name}: index {outside[0]} lies outside its {n} samples")
    return array.astype(np.int64) % max(n, 1)


class TensorDataset(Dataset):
    """Sample i is (t₁[i], …, t_k[i])      tensors t₁ … t_k of N rows each; of task k with inputs and labels, D_k of D0 §3.1."""

    def __init__(self, *tensors: Tensor) -> None:
        self.tensors = tuple(t if isinstance(t, Tensor) else Tensor(np.asarray(t)) for t in tensors)
        shapes = [t.shape for t in self.tensors]
        if not shapes or () in shapes or len({shape[0] for shape in shapes}) > 1:
            raise ValueError(f"TensorDataset: needs tensors with equally many rows, got shapes {shapes}")

    def __len__(self) -> int:
        return self.tensors[0].shape[0]

    @equation(
        "mtl.data",
        r"D_k = \{(x_{ki}, y_{ki})\}_{i=1}^{N_k}",
        symbols={"x": "self", "y": "self", "N": "self"},
        source="D0 §3.1",
        conventions="each task k has a data set of its own, of its own size",
        unseen=("index",),
    )
    @equation(
        "tl.data",
        r"D_s = \{(x_{si}, y_{si})\}_{i=1}^{N_s}, \quad D_t = \{(x_{ti}, y_{ti})\}_{i=1}^{N_t}",
        symbols={"Ds": "self", "Dt": "self", "x": "self", "y": "self", "N": "self", "s": "self", "t": "self"},
        source="D0 §3.2",
        conventions="s is the source, t the target",
    )
    def __getitem__(self, index: int) -> tuple[Tensor, ...]:
        """Of a task Dₖ = {(xₖᵢ, yₖᵢ)}ᵢ the i-th pair; of source and target Ds = {(xₛᵢ, yₛᵢ)}ᵢ and Dt = {(xₜᵢ, yₜᵢ)}ᵢ."""
        i = position(self, index)
        return tuple(t[i] for t in self.tensors)

    def __getitems__(self, indices: Array) -> tuple[Tensor, ...]:
        rows = positions(self, indices)
        return tuple(t[rows] for t in self.tensors)


class Subset(Dataset):
    """Sample i is dataset[indices[i]]."""

    def __init__(self, dataset: Samples, indices: Sequence[int] | Array) -> None:
        self.dataset, self.indices = dataset, positions(dataset, indices)

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Any:
        return self.dataset[int(self.indices[position(self, index)])]

    def __getitems__(self, indices: Array) -> Any:
        return fetch(self.dataset, self.indices[positions(self, indices)])


def random_split(dataset: Samples, lengths: Sequence[int | float], generator: Generator | None = None) -> list[Subset]:
    """N = n₁ + … + n_k      k disjoint subsets in a random order, of n_i samples each: `lengths`, or fractions of N.

    Fractions add up to 1 and are rounded down; what is left over goes to the first subsets, one sample each.
    """
    n, total = len(dataset), sum(lengths)
    if any(isinstance(length, (float, np.floating)) for length in lengths):
        if min(lengths) < 0 or not abs(total - 1) < 1e-9:
            raise ValueError(f"random_split: fractions must add up to 1 and not be negative, got {list(lengths)}")
        sizes = [int(n * fraction) for fraction in lengths]
        left = n - sum(sizes)
        sizes = [size + (i < left) for i, size in enumerate(sizes)]
    else:
        sizes = [operator.index(length) for length in lengths]  # type: ignore[arg-type]
        if total != n or min(sizes, default=0) < 0:
            raise ValueError(f"random_split: lengths must add up to the {n} samples and not be negative, got {sizes}")
    order = rng_of(generator).permutation(n)
    ends = np.cumsum(sizes)
    return [Subset(dataset, order[end - size : end]) for size, end in zip(sizes, ends, strict=True)]


class ImageDataset(Dataset):
    """Sample i is (transform(data[i]), target_transform(targets[i]))      data (N, H, W) uint8, in memory.

    `targets` is one Tensor (N, …), or {name: Tensor}; of these `labels` takes one by its name, or several, as
    {name: label}, by a tuple of names. Labels of single samples are Python numbers where they have no axes.
    """

    def __init__(
        self,
        data: Tensor,
        targets: Tensor | dict[str, Tensor],
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        labels: str | Sequence[str] = (),
    ) -> None:
        self.data, self.targets, self.labels = data, targets, labels
        self.transform, self.target_transform = transform, target_transform
        if isinstance(targets, Mapping):
            asked = [labels] if isinstance(labels, str) else list(labels)
            if not asked or any(name not in targets for name in asked):
                raise ValueError(f"{type(self).__name__}: labels must be among {', '.join(targets)}, got {labels!r}")

    def __len__(self) -> int:
        return len(self.data.array)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        i = position(self, index)
        image, label = sample(self.data, i), sample(self._chosen(), i)
        return (
            image if self.transform is None else self.transform(image),
            label if self.target_transform is None else self.target_transform(label),
        )

    def __getitems__(self, indices: Array) -> tuple[Any, Any]:
        rows = positions(self, indices)
        chosen = self._chosen()
        if isinstance(chosen, Mapping):
            labels: Any = {name: Tensor(target.array[rows]) for name, target in chosen.items()}
        else:
            labels = Tensor(chosen.array[rows])
        return apply(self.transform, Tensor(self.data.array[rows])), apply(self.target_transform, labels)

    def _chosen(self) -> Tensor | dict[str, Tensor]:
        """The targets that `labels` asks for."""
        if not isinstance(self.targets, Mapping):
            return self.targets
        if isinstance(self.labels, str):
            return self.targets[self.labels]
        return {name: self.targets[name] for name in self.labels}
