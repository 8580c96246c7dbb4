"""Transforms of images and labels, spelt as torchvision's; those here take one sample or a whole batch.

A batch from a data set passes `apply`: a transform with a method `on_batch` gets all samples at once, which is many
times faster; any other function gets them one by one, as in PyTorch, and may do with a sample what it likes.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.data.loader import default_collate, length, sample
from minimtl.equation import equation

Transform = Callable[[Any], Any]


def apply(transform: Transform | None, batch: Any) -> Any:
    """(f(x₁), …, f(xₙ)) for a batch of n samples: by `transform.on_batch` where there is one, else one by one."""
    if transform is None:
        return batch
    if hasattr(transform, "on_batch"):
        return transform.on_batch(batch)
    return default_collate([transform(sample(batch, i)) for i in range(length(batch))])


class Compose:
    """x ↦ f_k(… f₂(f₁(x)))      for transforms [f₁, …, f_k]."""

    def __init__(self, transforms: Sequence[Transform]) -> None:
        self.transforms = list(transforms)

    def __call__(self, x: Any) -> Any:
        for transform in self.transforms:
            x = transform(x)
        return x

    def on_batch(self, batch: Any) -> Any:
        """The same for every sample of a batch."""
        for transform in self.transforms:
            batch = apply(transform, batch)
        return batch

    def __repr__(self) -> str:
        return f"Compose({self.transforms})"


class Lambda:
    """x ↦ lambd(x)      one sample at a time; with `batched` a batch at a time, where lambd can take both."""

    def __init__(self, lambd: Transform, batched: bool = False) -> None:
        if not callable(lambd):
            raise TypeError(f"Lambda: lambd must be a function, got {type(lambd).__name__}")
        self.lambd, self.batched = lambd, batched

    def __call__(self, x: Any) -> Any:
        return self.lambd(x)

    def on_batch(self, batch: Any) -> Any:
        """The same for every sample of a batch."""
        return self.lambd(batch) if self.batched else apply(self.lambd, batch)

    def __repr__(self) -> str:
        return f"Lambda({getattr(self.lambd, '__name__', self.lambd)})"


class ToTensor:
    """Bytes as numbers from 0 to 1.      (…, H, W) or (…, H, W, 3) uint8 → (…, 1, H, W) or (…, 3, H, W) float32 in [0, 1]

    A last axis of 3 is colour. One image or a batch of them, a Tensor or an array.
    """

    @equation(
        "data.to_tensor",
        r"y_{n,c,h,w} = \frac{x_{n,h,w,c}}{255}",
        symbols={"x": "images"},
        shapes="x (N, H, W, C) → y (N, C, H, W)",
        conventions="images without a last axis of 3 are grey, C = 1; one image comes without n",
    )
    def __call__(self, images: Tensor | Array) -> Tensor:
        """y[n,c,h,w] = x[n,h,w,c] / 255"""
        x = images.array if isinstance(images, Tensor) else np.asarray(images)
        colour = x.shape[-1:] == (3,)
        if x.dtype != np.uint8 or x.ndim - colour not in (2, 3):
            raise ValueError(f"ToTensor: needs uint8 images (H, W) or (N, H, W), colour last, got {x.dtype} {x.shape}")
        channels_first = np.moveaxis(x, -1, -3) if colour else x[..., None, :, :]
        return Tensor(channels_first.astype(np.float32) / 255)

    on_batch = __call__

    def __repr__(self) -> str:
        return "ToTensor()"


class Normalize:
    """Channel by channel around 0.      (…, C, H, W); mean and std: one number, or one for each channel."""

    def __init__(self, mean: float | Sequence[float] | Array, std: float | Sequence[float] | Array) -> None:
        self.mean, self.std = np.atleast_1d(np.asarray(mean, float)), np.atleast_1d(np.asarray(std, float))
        if self.mean.ndim != 1 or self.std.ndim != 1 or not np.isfinite(self.mean).all():
            raise ValueError(f"Normalize: mean and std must be a number or one for each channel, got {mean} and {std}")
        if not (np.isfinite(self.std) & (self.std > 0)).all():
            raise ValueError(f"Normalize: std must be greater than 0, got {std}")

    @equation(
        "data.normalize",
        r"y_{n,c,h,w} = \frac{x_{n,c,h,w} - \mu_c}{\sigma_c}",
        symbols={"x": "images", "μ": "Normalize", "σ": "Normalize"},
        shapes="x (N, C, H, W), μ (C), σ (C) → y (N, C, H, W)",
        conventions="μ is mean and σ std; one number stands for every channel",
    )
    def __call__(self, images: Tensor) -> Tensor:
        """y[n,c,h,w] = (x[n,c,h,w] − μ[c]) / σ[c]"""
        x = images.array
        if x.dtype.kind != "f" or x.ndim < 3:
            raise ValueError(f"Normalize: needs floating-point images (…, C, H, W), got {x.dtype} {x.shape}")
        C = x.shape[-3]
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, C):
                raise ValueError(f"Normalize: {name} has {len(values)} channels, images {x.shape} have {C}")
        mean, std = (Tensor(values.astype(x.dtype).reshape(-1, 1, 1)) for values in (self.mean, self.std))
        return (images - mean) / std

    on_batch = __call__

    def __repr__(self) -> str:
        return f"Normalize(mean={self.mean.tolist()}, std={self.std.tolist()})"
