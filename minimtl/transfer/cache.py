"""While φ is frozen its features are computed once: later epochs train the head alone, with the same results.

    transfer.freeze(trunk)
    cache = transfer.FeatureCache(trunk)                 a trunk as before
    model = mtl.HardSharing(cache, {"digit": nn.Linear(84, 10)})
    mtl.Trainer(…).fit(cache.over(loader), epochs=50, validation=cache.over(test))

Whether features may be kept is asked anew at the start of every pass: not while φ trains, while a part of it is in training mode, or
where the samples are drawn anew each time. Then batches come as they would without the cache. "The same results" are the same but for
rounding: BLAS may round the last bit of a product of matrices by where in its batch a sample stands.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.data import DataLoader
from minimtl.data.loader import fetch
from minimtl.grad_mode import no_grad
from minimtl.random import random_numbers_repeated

PROBED = 8  # samples that are asked for twice, to see whether they are drawn anew
INSIDE = (
    "dataset",
    "digits",
    "transform",
    "target_transform",
    "transforms",
    "lambd",
)  # where a data set keeps what it is made of


@dataclass(frozen=True)
class Features:
    """φ(x) of a batch, in the place of x."""

    z: Tensor
    of: "FeatureCache"


class FeatureCache(nn.Module):
    """z = φ(x)      φ is `trunk`; of `Features` z itself."""

    def __init__(self, trunk: nn.Module) -> None:
        self.trunk = trunk

    def forward(self, x: Any) -> Any:
        """φ(x), or what was kept of it."""
        if not isinstance(x, Features):
            return self.trunk(x)
        if x.of is not self:
            raise ValueError("FeatureCache: these features are of another trunk")
        return x.z

    def over(self, loader: DataLoader) -> "CachedLoader":
        """The loader with features in the place of inputs, as long as that makes no difference."""
        return CachedLoader(self, loader)

    def trained(self) -> str:
        """Why features change from step to step, "" where they do not."""
        if any(p.requires_grad for p in self.trunk.parameters()):
            return "parameters of the trunk require gradients"
        parts = [name or "the trunk itself" for name, part in self.trunk.named_modules() if part.training]
        return f"in training mode are {parts}; transfer.freeze keeps them in evaluation mode" if parts else ""

    def state(self) -> list[tuple[Any, int]]:
        """What tells that a number of φ was written: versions of its memory, and how often it was."""
        return [(t._version, t._version.count) for t in (*self.trunk.parameters(), *self.trunk.buffers())]


class CachedLoader:
    """The batches of a loader, (Features, y) where φ and the samples are fixed, else (x, y). `reason` says why not, or is ""."""

    def __init__(self, cache: FeatureCache, loader: DataLoader) -> None:
        if not isinstance(loader, DataLoader):
            raise TypeError(f"FeatureCache: over() needs a DataLoader, got {type(loader).__name__}")
        self.cache, self.loader = cache, loader
        self.kept: DataLoader | None = None
        self.state: list[tuple[Any, int]] = []
        self.random = ""
        self.reason = ""

    @property
    def dataset(self) -> Any:
        """The data set of the loader."""
        return self.loader.dataset

    def __len__(self) -> int:
        return len(self.loader)

    def __iter__(self) -> Iterator[Any]:
        self.reason = self.cache.trained() or self.random
        if self.reason:
            self.kept = None
            return iter(self.loader)
        state = self.cache.state()
        if self.kept is None or any(a is not b or m != n for (a, m), (b, n) in zip(state, self.state, strict=True)):
            self.random = self.reason = drawn_anew(self.loader)
            if self.reason:
                return iter(self.loader)
            self.kept, self.state = self.computed(), state
        return iter(self.kept)

    def computed(self) -> DataLoader:
        """The loader over features: the same batches in the same order."""
        pieces, n, B = [], len(self.loader.dataset), self.loader.batch_size
        with no_grad():
            for start in range(0, n, B):
                x, y = fetch(self.loader.dataset, np.arange(start, min(start + B, n)), self.loader.collate_fn)
                pieces.append((self.cache.trunk(x), y))
        given = {name: getattr(self.loader, name) for name in ("batch_size", "shuffle", "sampler", "drop_last", "generator")}
        return DataLoader(Kept(self.cache, joined(pieces)), **given)


class Kept:
    """The features and labels of a data set."""

    def __init__(self, cache: FeatureCache, batch: tuple[Any, Any]) -> None:
        self.cache, self.batch = cache, batch

    def __len__(self) -> int:
        return len(self.batch[0])

    def __getitem__(self, index: int) -> Any:
        return self.__getitems__(np.array([index]))

    def __getitems__(self, indices: Array) -> tuple[Features, Any]:
        z, y = rows(self.batch, indices)
        return Features(z, self.cache), y


def joined(pieces: list[Any]) -> Any:
    """Batches, one behind the other: tensors, or tuples and dictionaries of such."""
    first = pieces[0]
    if isinstance(first, Mapping):
        return {k: joined([piece[k] for piece in pieces]) for k in first}
    if isinstance(first, (tuple, list)):
        return tuple(joined(list(members)) for members in zip(*pieces, strict=True))
    return Tensor(np.concatenate([piece.array for piece in pieces]))


def rows(batch: Any, indices: Array) -> Any:
    """Some samples of a batch."""
    if isinstance(batch, Mapping):
        return {k: rows(member, indices) for k, member in batch.items()}
    if isinstance(batch, tuple):
        return tuple(rows(member, indices) for member in batch)
    return Tensor(batch.array[indices])


def drawn_anew(loader: DataLoader) -> str:
    """Why a loader's samples differ from pass to pass, "" where they do not: a part says `random`, or two looks differ."""
    inside, seen = [loader.dataset], []
    while inside:
        part = inside.pop()
        seen.append(part)
        if getattr(part, "random", False) is True:
            return f"{type(part).__name__} draws samples anew"
        found = [getattr(part, name, None) for name in INSIDE]
        flat = [one for f in found for one in (f if isinstance(f, list) else [f])]
        inside += [one for one in flat if one is not None and not any(one is other for other in seen)]
    n = min(PROBED, len(loader.dataset))
    with random_numbers_repeated():
        first, second = (joined([fetch(loader.dataset, np.arange(n), loader.collate_fn)]) for _ in range(2))
    return "" if same(first, second) else "the data set draws samples anew"


def same(a: Any, b: Any) -> bool:
    """Whether two batches are equal to the bit."""
    if isinstance(a, Mapping):
        return all(same(a[k], b[k]) for k in a)
    if isinstance(a, tuple):
        return all(map(same, a, b))
    return bool(a.array.tobytes() == b.array.tobytes())
