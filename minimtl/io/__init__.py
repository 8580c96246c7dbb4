"""Saving and loading state dicts: `.npz`, a zip of plain arrays, or `.safetensors`; PyTorch's `.pth` and `.pt` are read as well.

Nothing that is loaded is ever executed, and no number in a file is believed before it was compared with the file's size: a damaged
or hostile file is a ValueError, and costs at most some 4 times its size in memory, and 16 MB.
"""

import os
import secrets
import zipfile
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from minimtl import dtypes
from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.io.headed import read_npz, read_safetensors
from minimtl.io.pth import read_pth
from minimtl.ops import tensor_of

READERS: dict[str, Callable[[bytes], dict[str, Array]]] = {
    ".npz": read_npz, ".safetensors": read_safetensors, ".pth": read_pth, ".pt": read_pth,
}  # fmt: skip
WRITTEN = (".npz", ".safetensors")


def save(state_dict: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the tensors to exactly this path, by its ending; a file there is replaced only once all is written."""
    target = Path(path)
    write = write_npz if ending(target, WRITTEN) == ".npz" else write_safetensors
    arrays: dict[str, Array] = {}
    for name, value in state_dict.items():
        if not isinstance(name, str) or not isinstance(value, Tensor | np.ndarray | np.generic | int | float):
            raise TypeError(f"save: needs names with tensors, got {name!r}: {type(value).__name__}")
        array = tensor_of(value).numpy()
        dtypes.to_dtype(array.dtype)
        arrays[name] = np.array(array, order="C")
    unfinished = target.with_name(f"{target.name}.{secrets.token_hex(4)}.tmp")
    try:
        with unfinished.open("xb") as file:
            write(file, arrays)
        os.replace(unfinished, target)
    except BaseException:
        unfinished.unlink(missing_ok=True)
        raise


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors in the file, by name: a state dict, on the CPU; bfloat16 becomes float32.

    A `.pth` or `.pt` is what `torch.save` has written since PyTorch 1.6: a state dict, or a dict that has one as "state_dict",
    "model_state_dict" or "model", of which all else is left out. It is read without PyTorch, and what is no tensor is refused.
    """
    source = Path(path)
    read = READERS[ending(source, READERS)]
    data = source.read_bytes()
    try:
        return {name: Tensor(array) for name, array in read(data).items()}
    except Exception as error:  # a damaged file can fail in any way
        raise ValueError(f"load: {source} is damaged, or holds other things than arrays of numbers: {error}") from error


def write_npz(file: BinaryIO, arrays: Mapping[str, Array]) -> None:
    """The arrays as NumPy's `savez` writes them, which reserves some names."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def write_safetensors(file: BinaryIO, arrays: Mapping[str, Array]) -> None:
    """The arrays in Hugging Face's format: a header, then their bytes."""
    file.write(safetensors_numpy().save(dict(arrays)))


def ending(path: Path, formats: Iterable[str]) -> str:
    """How the path ends, if that names one of the formats."""
    if path.suffix not in formats:
        raise ValueError(f"{path}: the ending must be {', '.join(formats)}")
    return path.suffix


def safetensors_numpy() -> ModuleType:
    """The module safetensors.numpy; an error that says what to install."""
    try:
        import safetensors.numpy
    except ImportError as error:
        raise RuntimeError("`.safetensors` needs the extra: pip install 'minimtl[weights]'") from error
    return safetensors.numpy
