"""Two digits in one picture, as in MultiMNIST (Sabour et al. 2017): which one stands on the upper left, which on the lower right?"""

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.data.dataset import ImageDataset
from minimtl.data.transforms import Transform
from minimtl.random import Generator, rng_of

CANVAS, SHIFT = 36, 6  # pixels: the second digit lies so far to the right of the first, and below


class MultiDigits(ImageDataset):
    """Pictures (N, 28, 28) uint8 of two digits each, with the labels "left" and "right".

    Every picture of `digits` (`data`, (N, 28, 28) uint8, with `targets`, or `targets["digit"]`) is laid on a canvas of 36 × 36 with
    another, drawn from `generator`; where they overlap the brighter counts; the canvas is brought to 28 × 28 by nearest pixels.
    """

    def __init__(self, digits: ImageDataset, transform: Transform | None = None, generator: Generator | None = None) -> None:
        images = digits.data.array
        targets = digits.targets["digit"] if isinstance(digits.targets, dict) else digits.targets
        if images.ndim != 3 or images.shape[1:] != (28, 28) or images.dtype != np.uint8:
            raise ValueError(f"MultiDigits: needs pictures (N, 28, 28) uint8, got {images.dtype} {images.shape}")
        other = rng_of(generator).permutation(len(images))
        labels = {"left": Tensor(targets.array.copy()), "right": Tensor(targets.array[other])}
        super().__init__(Tensor(overlaid(images, images[other])), labels, transform, labels=("left", "right"))


def overlaid(left: Array, right: Array) -> Array:
    """Both digits on one canvas, as small as one.      (N, 28, 28), (N, 28, 28) → (N, 28, 28)"""
    canvas = np.zeros((len(left), CANVAS, CANVAS), left.dtype)
    canvas[:, :28, :28] = left
    part = canvas[:, SHIFT : SHIFT + 28, SHIFT : SHIFT + 28]
    np.maximum(part, right, out=part)
    nearest = np.arange(28) * CANVAS // 28
    return canvas[:, nearest][:, :, nearest]
