"""Augmentation: pictures changed at random, each in its own way, spelt as torchvision's.

    Compose([ToTensor(), augment.RandomCrop(28, padding=2), augment.RandomHorizontalFlip(), Normalize(0.5, 0.5)])

They take floating-point pictures (N, C, H, W), or one (C, H, W), and so stand after ToTensor; dtype and size stay. Every picture
costs a fixed row of uniform numbers, drawn from `generator`: a batch is to the bit what its pictures are one by one from the same seed.
What changes labels too is a function of a batch, `MixUp`, for `data.Mapped`. All have `random = True`, which says that no pass over the
data is like another: `transfer.FeatureCache` looks for it.
"""

from minimtl.data.augment.base import Augmentation
from minimtl.data.augment.geometry import RandomAffine, RandomCrop, RandomHorizontalFlip, RandomVerticalFlip
from minimtl.data.augment.colour import ColorJitter
from minimtl.data.augment.erasing import RandomErasing
from minimtl.data.augment.mixing import MixUp

__all__ = [
    "Augmentation",
    "ColorJitter",
    "MixUp",
    "RandomAffine",
    "RandomCrop",
    "RandomErasing",
    "RandomHorizontalFlip",
    "RandomVerticalFlip",
]
