"""Data sets, loaders and transforms, spelt as PyTorch's and torchvision's.

Samples travel in whole batches: a data set hands out one sample by `dataset[i]` and a batch by
`dataset.__getitems__(indices)`, a single indexing of its arrays, and a transform works on the batch at once. In the
order of reading: `loader` puts samples together, `transforms` change them, `dataset` holds them, `mnist` and `digits`
are two real ones, `folder` reads pictures from class folders, `augment` changes them at random, `streams` are loaders around loaders.
"""

from minimtl.data import augment, transforms
from minimtl.data.dataset import Dataset, ImageDataset, Subset, TensorDataset, random_split
from minimtl.data.digits import RenderedDigits
from minimtl.data.folder import ImageFolder, PictureError, read_picture, stratified_split
from minimtl.data.loader import DataLoader, WeightedRandomSampler, default_collate
from minimtl.data.mnist import MNIST, mnist_folder, read_idx
from minimtl.data.multi import MultiDigits
from minimtl.data.streams import Mapped, Prefetched

__all__ = [
    "MNIST",
    "DataLoader",
    "Dataset",
    "ImageDataset",
    "ImageFolder",
    "Mapped",
    "MultiDigits",
    "PictureError",
    "Prefetched",
    "RenderedDigits",
    "Subset",
    "TensorDataset",
    "WeightedRandomSampler",
    "augment",
    "default_collate",
    "mnist_folder",
    "random_split",
    "read_idx",
    "read_picture",
    "stratified_split",
    "transforms",
]
