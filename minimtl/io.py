"""Saving and loading state dicts: `.npz`, which is a zip of plain arrays, or `.safetensors`, with the extra `weights`.

Nothing that is loaded is ever executed: a file that holds pickled objects is refused.
"""

import io
import os
import secrets
import zipfile
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, BinaryIO

import numpy as np

from minimtl import dtypes
from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.ops import tensor_of

UTF8 = 0x800  # the zip's mark of a name in UTF-8


def save(state_dict: Mapping[str, Any], path: str | os.PathLike[str]) -> None:
    """Write the tensors to exactly this path, by its ending; a file there is replaced only once all is written."""
    target = Path(path)
    write = write_npz if ending(target) == ".npz" else write_safetensors
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
    """The tensors in the file, by name."""
    source = Path(path)
    read = read_npz if ending(source) == ".npz" else safetensors_numpy().load
    data = source.read_bytes()
    try:
        return {name: Tensor(checked(array)) for name, array in read(data).items()}
    except Exception as error:  # a damaged file can fail in any way
        raise ValueError(f"load: {source} is damaged, or holds other things than arrays of numbers: {error}") from error


def write_npz(file: BinaryIO, arrays: Mapping[str, Array]) -> None:
    """The arrays as NumPy's `savez` writes them, which reserves some names."""
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(zipfile.ZipInfo(f"{name}.npy"), "w", force_zip64=True) as member:
                np.lib.format.write_array(member, array, allow_pickle=False)


def read_npz(data: bytes) -> dict[str, Array]:
    """The arrays, each read to its end, where the zip keeps its checksum. Its list of members has none, but says how many."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        infos = archive.infolist()
        end = data.rfind(b"PK\5\6")
        if int.from_bytes(data[end + 10 : end + 12], "little") not in (len(infos), 0xFFFF):
            raise ValueError(f"its list of members is damaged after {len(infos)}")
        for info in infos:
            if not info.filename.isascii() and not info.flag_bits & UTF8:
                raise ValueError(f"the name {info.filename!r} is not in UTF-8")
        members = {info.filename.removesuffix(".npy"): archive.read(info) for info in infos}
    arrays: dict[str, Array] = {}
    for name, member in members.items():
        stream = io.BytesIO(member)
        arrays[name] = np.lib.format.read_array(stream, allow_pickle=False)
        if stream.read(1):
            raise ValueError(f"{name} has more bytes than its shape {arrays[name].shape} needs")
    return arrays


def write_safetensors(file: BinaryIO, arrays: Mapping[str, Array]) -> None:
    """The arrays in Hugging Face's format: a header, then their bytes."""
    file.write(safetensors_numpy().save(dict(arrays)))


def checked(array: Array) -> Array:
    """The array in memory that may be written to, of numbers that a Tensor can hold."""
    dtype = dtypes.to_dtype(array.dtype)
    return array if array.flags.writeable else array.astype(dtype)


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
