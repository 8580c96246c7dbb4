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


def plain(name: str, image: Any) -> Any:
    """The image; if it is Pillow's, its numbers must be grey or RGB, not the places of a palette, inks or transparency."""
    if getattr(image, "mode", "L") not in ("L", "RGB"):
        raise ValueError(f"{name}: needs a grey or RGB image, got one of mode {image.mode}: image.convert('RGB') makes it RGB")
    return image


class Resize:
    """A PIL image, or (H, W) or (H, W, 3) uint8 → a PIL image whose shorter side is `size`, or of `size` = (H, W), by Pillow.

    Bilinear: each pixel is a mean over those of the old image that it covers, weighted by a triangle, as torchvision has it for PIL
    images. Images one at a time: they differ in size.
    """

    def __init__(self, size: int | tuple[int, int]) -> None:
        sizes = size if isinstance(size, tuple) else (size,)
        if not 1 <= len(sizes) <= 2 or not all(isinstance(n, int) and n > 0 for n in sizes):
            raise ValueError(f"Resize: size must be one integer ≥ 1, the shorter side, or two, (height, width), got {size!r}")
        self.size = size

    def __call__(self, image: Any) -> Any:
        from PIL import Image  # slow to import, and rarely needed

        pixels = image.array if isinstance(image, Tensor) else image
        if isinstance(pixels, np.ndarray):
            if pixels.dtype != np.uint8 or not (pixels.ndim == 2 or (pixels.ndim == 3 and pixels.shape[2] == 3)):
                raise ValueError(f"Resize: needs uint8 (H, W) or (H, W, 3), got {pixels.dtype} {pixels.shape}")
            pixels = Image.fromarray(pixels)
        width, height = plain("Resize", pixels).size
        if isinstance(self.size, int):
            short = min(width, height)
            target = (self.size * width // short, self.size * height // short)
        else:
            target = self.size[::-1]
        return pixels.resize(target, Image.Resampling.BILINEAR)

    def __repr__(self) -> str:
        return f"Resize({self.size})"


class CenterCrop:
    """The middle `size` × `size` of a PIL image, or of Tensors (…, C, H, W); `size` may be (height, width)."""

    def __init__(self, size: int | tuple[int, int]) -> None:
        self.size = size if isinstance(size, tuple) else (size, size)
        if len(self.size) != 2 or not all(isinstance(n, int) and n > 0 for n in self.size):
            raise ValueError(f"CenterCrop: size must be one integer ≥ 1 or two, got {size!r}")

    def __call__(self, images: Any) -> Any:
        pillow = not isinstance(images, Tensor)
        H, W = images.size[::-1] if pillow else images.shape[-2:]
        h, w = self.size
        if h > H or w > W:
            raise ValueError(f"CenterCrop: needs an image of at least {self.size}, got {(H, W)}")
        top, left = round((H - h) / 2), round((W - w) / 2)
        return images.crop((left, top, left + w, top + h)) if pillow else images[..., top : top + h, left : left + w]

    def on_batch(self, batch: Any) -> Any:
        """The same for every sample of a batch."""
        return self(batch)

    def __repr__(self) -> str:
        return f"CenterCrop({self.size})"


class ToTensor:
    """Bytes as numbers from 0 to 1.      (…, H, W) or (…, H, W, 3) uint8 → (…, 1, H, W) or (…, 3, H, W) float32 in [0, 1]

    A last axis of 3 is colour. One image or a batch of them, a Tensor or an array; or a PIL image, grey or RGB.
    """

    @equation(
        "data.to_tensor",
        r"y_{n,c,h,w} = \frac{x_{n,h,w,c}}{255}",
        symbols={"x": "images"},
        shapes="x (N, H, W, C) → y (N, C, H, W)",
        conventions="images without a last axis of 3 are grey, C = 1; one image comes without n",
    )
    def __call__(self, images: Any) -> Tensor:
        """y[n,c,h,w] = x[n,h,w,c] / 255"""
        x = images.array if isinstance(images, Tensor) else np.asarray(plain("ToTensor", images))
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


IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


def imagenet(resize: int = 256, crop: int = 224) -> Lambda:
    """What torchvision's models were trained on: shorter side `resize`, centre `crop`, numbers in [0, 1], (x − μ) / σ by channel.

    A PIL image of any mode, or (H, W, 3) uint8 → (3, crop, crop) float32. One image at a time, as they differ in size.
    """
    steps = Compose([Resize(resize), CenterCrop(crop), ToTensor(), Normalize(IMAGENET_MEAN, IMAGENET_STD)])

    def imagenet(image: Any) -> Tensor:
        return steps(image.convert("RGB") if hasattr(image, "convert") else image)

    return Lambda(imagenet)
