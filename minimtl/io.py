"""Saving and loading state dicts: `.npz`, which is NumPy's zip of plain arrays, or `.safetensors`, with the extra `weights`.

Nothing that is loaded is ever executed: a file that holds pickled objects is refused.
"""

import os
import tempfile
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np

from minimtl import dtypes
from minimtl.autograd import Tensor
from minimtl.ops import tensor_of


def save(state_dict: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the tensors to exactly this path, by its ending; a file there is replaced only once all is written."""
    target = Path(path)
    arrays: dict[str, Any] = {}
    for name, value in state_dict.items():
        if not isinstance(name, str) or not isinstance(value, Tensor | np.ndarray | int | float):
            raise TypeError(f"save: needs names with tensors, got {name!r}: {type(value).__name__}")
        arrays[name] = np.array(tensor_of(value).numpy(), order="C")
    with tempfile.NamedTemporaryFile(dir=target.parent, prefix=target.name, delete=False) as file:
        try:
            if ending(target) == ".npz":
                np.savez(file, **arrays)
            else:
                file.write(safetensors_numpy().save(arrays))
            file.close()
            os.replace(file.name, target)
        except BaseException:
            file.close()
            os.unlink(file.name)
            raise


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The tensors in the file, by name."""
    source = Path(path)
    if ending(source) == ".safetensors":
        return {name: Tensor(array) for name, array in safetensors_numpy().load(source.read_bytes()).items()}
    try:
        with np.load(source, allow_pickle=False) as arrays:
            return {name: Tensor(checked(arrays[name])) for name in arrays.files}
    except (ValueError, TypeError, zipfile.BadZipFile, EOFError, OSError) as error:
        if isinstance(error, FileNotFoundError):
            raise
        raise ValueError(f"load: {source} is no .npz of plain number arrays: {error}") from error


def checked(array: Any) -> Any:
    """The array, of numbers that a Tensor can hold."""
    dtypes.to_dtype(array.dtype)
    return array


def ending(path: Path) -> str:
    """How the path ends, if that names a format."""
    if path.suffix not in (".npz", ".safetensors"):
        raise ValueError(f"{path}: the ending must be .npz or .safetensors; formats that need pickle are not read")
    return path.suffix


def safetensors_numpy() -> ModuleType:
    """The module safetensors.numpy; an error that says what to install."""
    try:
        import safetensors.numpy
    except ImportError as error:
        raise RuntimeError("`.safetensors` needs the extra: pip install 'minimtl[weights]'") from error
    return safetensors.numpy
