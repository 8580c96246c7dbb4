"""MNIST: 60,000 + 10,000 handwritten digits, read from the four IDX files in which they were published.

IDX is a header and the bare numbers, all big-endian: two zero bytes, a byte for the type, a byte for the number of
axes, four bytes for the length of each axis. A file may come from anywhere: nothing in it is believed unchecked.
"""

import gzip
import hashlib
import io
import math
import os
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import IO

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.data.dataset import ImageDataset
from minimtl.data.transforms import Transform

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
GZIP = b"\x1f\x8b"
DEFLATE_RATIO = 1032  # one byte of gzip never unfolds to more

TRAIN = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte")
TEST = ("t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
SHA256 = {  # of the contents, after unzipping: zipped files differ with the program that made them
    "train-images-idx3-ubyte": "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    "train-labels-idx1-ubyte": "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    "t10k-images-idx3-ubyte": "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    "t10k-labels-idx1-ubyte": "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
}
MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)
TIMEOUT = 30  # seconds without a byte
LARGEST = 64 << 20  # bytes; the largest of the four files has 47 million


def read_idx(path: str | os.PathLike[str]) -> Array:
    """The array in an IDX file, gzipped or not, in native byte order; a ValueError says what is wrong with the file."""
    with open(path, "rb") as file:
        zipped = file.read(2) == GZIP
        capacity = file.seek(0, io.SEEK_END) * (DEFLATE_RATIO if zipped else 1)
        file.seek(0)
        try:
            return parse_idx(gzip.GzipFile(fileobj=file) if zipped else file, capacity)
        except (EOFError, gzip.BadGzipFile, zlib.error) as error:
            raise ValueError(f"{path}: the gzip data is damaged: {error}") from error
        except ValueError as error:
            raise ValueError(f"{path}: {error}") from error


def parse_idx(stream: IO[bytes] | gzip.GzipFile, capacity: int) -> Array:
    """The array in an IDX stream that can hold `capacity` bytes at most; never asks for more memory than that."""
    magic = stream.read(4)
    if len(magic) < 4:
        raise ValueError(f"ends after {len(magic)} bytes, the header of an IDX file has 8 or more")
    if magic[:2] != b"\0\0" or magic[2] not in TYPES or magic[3] == 0:
        types = " ".join(f"{code:02x}" for code in TYPES)
        raise ValueError(f"starts with {magic.hex(' ')}, an IDX file with 00 00, a type of {types}, the number of axes")
    lengths = stream.read(4 * magic[3])
    if len(lengths) < 4 * magic[3]:
        raise ValueError(f"ends inside the header, which announces {magic[3]} axes")
    shape, dtype = struct.unpack(f">{magic[3]}I", lengths), np.dtype(TYPES[magic[2]])
    needed = math.prod(shape) * dtype.itemsize
    if needed > capacity:
        raise ValueError(f"announces {dtype.name} {shape}, which is {needed} bytes; it can hold {capacity} at most")
    numbers = stream.read(needed + 1)  # one more tells whether anything follows, and has the gzip checksum verified
    if len(numbers) != needed:
        holds = f"only {len(numbers)}" if len(numbers) < needed else "more"
        raise ValueError(f"announces {dtype.name} {shape}, which is {needed} bytes; it holds {holds}")
    return np.frombuffer(numbers, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def folders(root: Path) -> list[Path]:
    """Where the files may lie: in root itself, where torchvision keeps them, and in root/mnist."""
    return [root, root / "MNIST" / "raw", root / "mnist"]


def find(root: Path, name: str) -> Path | None:
    """The file of this name under root, zipped or not."""
    candidates = [folder / file for folder in folders(root) for file in (name, f"{name}.gz")]
    return next((path for path in candidates if path.is_file()), None)


def mnist_folder(given: str | None = None) -> str | None:
    """Where MNIST may be: the folder given, else the one in MINIMTL_DATA, else ~/.cache/minimtl if it holds the files, else None."""
    cache = Path.home() / ".cache" / "minimtl"
    return given or os.environ.get("MINIMTL_DATA") or (str(cache) if find(cache, TRAIN[0]) else None)


def fetch_missing(root: Path, mirrors: Sequence[str] = MIRRORS) -> None:
    """Fetch what is missing of the four files into root/MNIST/raw, each from the first mirror that has it undamaged."""
    for name in SHA256:
        if find(root, name) is not None:
            continue
        failures = []
        for mirror in mirrors:
            url = f"{mirror.rstrip('/')}/{name}.gz"
            try:
                zipped = fetch(url, SHA256[name])
            except Exception as error:  # whatever went wrong with this mirror, the next may be sound
                failures.append(f"  {url}: {error}")
            else:
                write(root / "MNIST" / "raw" / f"{name}.gz", zipped)
                break
        else:
            raise OSError("\n".join([f"MNIST: {name}.gz could not be downloaded from any mirror:", *failures]))


def fetch(url: str, sha256: str) -> bytes:
    """The zipped file at url, once the SHA-256 of what is in it has been compared."""
    from urllib.request import urlopen  # slow to import, and rarely needed

    with urlopen(url, timeout=TIMEOUT) as response:
        zipped: bytes = response.read(LARGEST)
    contents = gzip.GzipFile(fileobj=io.BytesIO(zipped)).read(LARGEST)  # no more, however far it would unfold
    found = hashlib.sha256(contents).hexdigest()
    if found != sha256:
        raise ValueError(f"its contents have SHA-256 {found}, must have {sha256}")
    return zipped


def write(path: Path, contents: bytes) -> None:
    """Write the file whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    try:
        part.write_bytes(contents)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


class MNIST(ImageDataset):
    """Images (N, 28, 28) uint8, white on black, and digits (N,) int64: N = 60,000 to train, 10,000 to test.

    The files lie in `root`, `root/MNIST/raw` or `root/mnist`; `download` fetches missing ones from `MNIST.mirrors`.
    """

    mirrors: Sequence[str] = MIRRORS

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Transform | None = None,
        target_transform: Transform | None = None,
        download: bool = False,
    ) -> None:
        self.root, self.train = Path(root).expanduser(), train
        if download:
            fetch_missing(self.root, self.mirrors)
        paths = [self._path(name) for name in (TRAIN if train else TEST)]
        images, digits = map(read_idx, paths)
        if images.dtype != np.uint8 or images.shape[1:] != (28, 28) or images.ndim != 3:
            raise ValueError(f"{paths[0]}: needs images uint8 (N, 28, 28), holds {images.dtype} {images.shape}")
        if digits.dtype != np.uint8 or digits.ndim != 1:
            raise ValueError(f"{paths[1]}: needs labels uint8 (N,), holds {digits.dtype} {digits.shape}")
        if len(images) != len(digits):
            raise ValueError(f"{paths[1]}: {len(digits)} labels for the {len(images)} images of {paths[0]}")
        if digits.max(initial=0) > 9:
            raise ValueError(f"{paths[1]}: labels are the digits 0 to 9, it holds a {digits.max()}")
        super().__init__(Tensor(images), Tensor(digits.astype(np.int64)), transform, target_transform)

    def _path(self, name: str) -> Path:
        """The file of this name; an error where there is none."""
        path = find(self.root, name)
        if path is None:
            places = ", ".join(map(str, folders(self.root)))
            raise FileNotFoundError(f"MNIST: no file {name} or {name}.gz in {places}; download=True fetches it")
        return path
