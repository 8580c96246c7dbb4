"""Pictures from class folders, read when they are asked for, and splits in which every class keeps its share.

    root/cat/1.jpg   root/cat/more/2.png   root/dog/1.jpg   …       one folder a class, whatever lies below belongs to it

How a file becomes bytes, whatever it holds:

    EXIF         a picture is turned as its camera says, as viewers show it (torchvision and Keras do not turn it)
    palette      looked up
    transparent  laid on white (torchvision and Keras drop the alpha channel: colours appear that nobody sees)
    16 bits grey v / 257, rounded (Pillow's own conversion cuts all values above 255)
    CMYK, YCbCr  to RGB by Pillow; colour profiles are not looked at
    grey, RGB    to `mode`: RGB repeats grey, L is 0.299 red + 0.587 green + 0.114 blue
    size         resized by Pillow's bilinear filter, which averages where it shrinks; the aspect is not kept, as in Keras

A picture of more pixels than Pillow's `Image.MAX_IMAGE_PIXELS` is refused.
"""

import copy
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.data.dataset import Dataset, Subset, position, positions
from minimtl.data.transforms import Transform, apply
from minimtl.random import Generator, rng_of

if TYPE_CHECKING:
    from PIL import Image

SUFFIXES = (".png", ".jpg", ".jpeg")
SHOWN = 10  # files that an error names


class PictureError(ValueError):
    """A file that gives no picture, with its path and why."""


def read_picture(path: str | os.PathLike[str], size: tuple[int, int] | None = None, mode: str = "RGB") -> Array:
    """The picture in a PNG or JPEG file, (H, W, 3) uint8 of mode RGB, (H, W) of mode L; resized to size (H, W)."""
    from PIL import Image, UnidentifiedImageError  # here alone: what reads no files needs NumPy alone

    too_large = (Image.DecompressionBombError, Image.DecompressionBombWarning)
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as opened:
            most = Image.MAX_IMAGE_PIXELS
            if most is not None and opened.width * opened.height > most:
                raise Image.DecompressionBombError(f"{opened.width} × {opened.height} pixels, more than {most:,}")
            picture = eight_bits(opened).convert(mode)
            if size is not None:
                picture = picture.resize(size[::-1], Image.Resampling.BILINEAR)
            return np.array(picture)
    except too_large as error:
        raise PictureError(f"{path}: too large, or a decompression bomb: {error}") from error
    except UnidentifiedImageError:
        raise PictureError(f"{path}: is no PNG or JPEG picture") from None
    except MemoryError:
        raise
    except Exception as error:  # Pillow raises a great many kinds on damaged files
        raise PictureError(f"{path}: cannot be read: {error}") from error


def eight_bits(picture: "Image.Image") -> "Image.Image":
    """Upright, with 8 bits a channel and no transparency."""
    from PIL import Image, ImageOps

    picture = ImageOps.exif_transpose(picture)
    if picture.mode.startswith("I"):  # I;16, I;16B, I: all that PNG has beyond 8 bits of grey
        return Image.fromarray(((np.asarray(picture).astype(np.int64) + 128) // 257).clip(0, 255).astype(np.uint8))
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        return Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return picture


def class_folders(root: Path) -> list[Path]:
    """The folders in root, sorted by name, without hidden ones; an error where there are none."""
    if not root.is_dir():
        raise NotADirectoryError(f"ImageFolder: {root} is {'a file, not' if root.exists() else 'not'} a folder")
    folders = sorted((p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")), key=lambda p: p.name)
    if not folders:
        found = sum(p.suffix.lower() in SUFFIXES for p in root.iterdir())
        raise FileNotFoundError(f"ImageFolder: {root} has no class folders; {found} pictures lie in it: is its parent meant?")
    return folders


def pictures_in(folder: Path) -> list[str]:
    """The paths of the pictures below a folder, sorted; hidden files do not count."""
    files = [p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES and not p.name.startswith(".") and p.is_file()]
    return [str(p) for p in sorted(files, key=lambda p: (str(p.parent), p.name))]


class ImageFolder(Dataset):
    """Sample i is (transform(picture i), target_transform(its class))      root/CLASS/… .png, .jpg, .jpeg

    Classes count in the order of their names. `size` (H, W), or one number for both, brings all pictures to one size, as a batch needs;
    `mode` is "RGB", for bytes (H, W, 3), or "L", grey, (H, W). Those are what `transform` gets, in batches or one by one: ToTensor
    first, which divides by 255. A class without pictures is an error. Files that cannot be read are an error when their turn comes,
    and all at once in `check()`; with `skip_unreadable` every file is read once here, and those are left out, with a warning that says
    how many: `skipped` are they.

        classes        ["cat", "dog"]
        class_to_idx   {"cat": 0, "dog": 1}
        samples        [(path, class), …]
        targets        [class, …]
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        *,
        size: int | Sequence[int] | None = None,
        mode: str = "RGB",
        skip_unreadable: bool = False,
    ) -> None:
        self.root, self.transform, self.target_transform = Path(root).expanduser(), transform, target_transform
        sides = (size, size) if isinstance(size, int) else None if size is None else tuple(size)
        if sides is not None and not (len(sides) == 2 and all(isinstance(n, int) and n >= 1 for n in sides)):
            raise ValueError(f"ImageFolder: size must be one or two integers of at least 1, got {size!r}")
        if mode not in ("RGB", "L"):
            raise ValueError(f"ImageFolder: mode must be 'RGB' or 'L', got {mode!r}")
        self.size, self.mode, self.skipped = sides, mode, list[str]()
        folders = class_folders(self.root)
        self.classes = [folder.name for folder in folders]
        self.class_to_idx = {name: i for i, name in enumerate(self.classes)}
        self.samples = [(path, i) for i, folder in enumerate(folders) for path in pictures_in(folder)]
        self._no_empty_class(f"no {', '.join(SUFFIXES)} file")
        if skip_unreadable:
            failed = self._failures()
            self.samples = [(path, i) for path, i in self.samples if path not in failed]
            self.skipped = list(failed)
            self._no_empty_class("no file that can be read")
            if failed:
                warnings.warn(f"ImageFolder: {self._listed(failed)}; left out", stacklevel=2)

    @property
    def targets(self) -> list[int]:
        """The class of every sample."""
        return [i for _, i in self.samples]

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, label = self.samples[position(self, index)]
        image = Tensor(self._read(path))
        return (
            image if self.transform is None else self.transform(image),
            label if self.target_transform is None else self.target_transform(label),
        )

    def __getitems__(self, indices: Array) -> tuple[Any, Any]:
        chosen = [self.samples[i] for i in positions(self, indices).tolist()]
        if not chosen:
            raise ValueError("ImageFolder: a batch needs at least one index")
        images = [self._read(path) for path, _ in chosen]
        for (path, _), image in zip(chosen, images, strict=True):
            if image.shape != images[0].shape:
                sizes = " and ".join(f"{i.shape[0]} × {i.shape[1]}" for i in (images[0], image))
                raise ValueError(
                    f"ImageFolder: a batch needs one size, {chosen[0][0]} and {path} have {sizes}; give size=(H, W)"
                )
        labels = Tensor(np.array([label for _, label in chosen], dtype=np.int64))
        return apply(self.transform, Tensor(np.stack(images))), apply(self.target_transform, labels)

    def check(self) -> "ImageFolder":
        """The data set itself, once every file has been read; an error that counts and names those that cannot."""
        failed = self._failures()
        if failed:
            raise PictureError(f"ImageFolder: {self._listed(failed)}; skip_unreadable=True leaves them out")
        return self

    def split(self, share: float, generator: Generator | None = None) -> tuple["ImageFolder", "ImageFolder"]:
        """Two parts, of about (1 − share) n_c and share n_c of the n_c samples of each class: for training and validation.

        Both are data sets of their own: give `transform` of the first its augmentation, and of the second none.
        """
        if isinstance(share, bool) or not isinstance(share, (int, float)) or not 0 < share < 1:
            raise ValueError(f"ImageFolder: split needs a share between 0 and 1, got {share!r}")
        first, second = stratified_split(self, [1 - share, share], generator)
        return self._part(first.indices), self._part(second.indices)

    def _part(self, indices: Array) -> "ImageFolder":
        part = copy.copy(self)
        part.samples = [self.samples[i] for i in indices.tolist()]
        return part

    def _read(self, path: str) -> Array:
        return read_picture(path, self.size, self.mode)

    def _failures(self) -> dict[str, str]:
        """{path: why} of the files that cannot be read."""
        failed = {}
        for path, _ in self.samples:
            try:
                self._read(path)
            except PictureError as error:
                failed[path] = str(error)
        return failed

    def _listed(self, failed: dict[str, str]) -> str:
        more = f"\n  and {len(failed) - SHOWN} more" if len(failed) > SHOWN else ""
        lines = "".join(f"\n  {why}" for why in list(failed.values())[:SHOWN])
        return f"{len(failed)} of {len(self.samples) + len(self.skipped)} files cannot be read:{lines}{more}"

    def _no_empty_class(self, what: str) -> None:
        empty = sorted(set(range(len(self.classes))) - set(self.targets))
        if empty:
            names = ", ".join(repr(self.classes[i]) for i in empty)
            raise FileNotFoundError(f"ImageFolder: {self.root} has {what} for {len(empty)} of its classes: {names}")

    def __repr__(self) -> str:
        return f"ImageFolder({str(self.root)!r}, {len(self)} pictures, {len(self.classes)} classes)"


def stratified_split(
    dataset: Any, shares: Sequence[float], generator: Generator | None = None, targets: Any = None
) -> list[Subset]:
    """n_c = n_c1 + … + n_ck for each class c      k disjoint subsets in a random order, with about share_i n_c samples of each class

    `targets` are the classes of the samples, `dataset.targets` unless given; shares add up to 1. Every n_ci is within 1 of
    share_i n_c; where one with a share greater than 0 would be 0, that is an error.
    """
    if not len(shares) or min(shares) < 0 or not abs(sum(shares) - 1) < 1e-9:
        raise ValueError(f"stratified_split: shares must add up to 1 and not be negative, got {list(shares)}")
    given = getattr(dataset, "targets", None) if targets is None else targets
    y = np.asarray(getattr(given, "array", given))
    if y.shape != (len(dataset),) or y.dtype.kind not in "biu":
        raise ValueError(f"stratified_split: needs a class for each of the {len(dataset)} samples, got {y.dtype} {y.shape}")
    names = getattr(dataset, "classes", None)
    rng, parts = rng_of(generator), [list[Array]() for _ in shares]
    pieces = {}
    for c in np.unique(y).tolist():
        members = np.flatnonzero(y == c)
        ends = np.floor(np.cumsum([0, *shares]) * len(members) + 0.5).astype(np.int64)
        counts = np.diff(ends).tolist()
        if any(share > 0 and n == 0 for share, n in zip(shares, counts, strict=True)):
            name = repr(names[c]) if names else c
            raise ValueError(
                f"stratified_split: class {name} has {len(members)} samples, of which the shares {list(shares)} get {counts}"
            )
        pieces[c] = members, ends
    for members, ends in pieces.values():
        order = rng.permutation(members)
        for part, start, end in zip(parts, ends, ends[1:], strict=False):
            part.append(order[start:end])
    return [Subset(dataset, rng.permutation(np.concatenate(part)) if part else []) for part in parts]
