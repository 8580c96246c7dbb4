"""`.pth` and `.pt`: what `torch.save` wrote since PyTorch 1.6, read without PyTorch and without executing anything.

A zip of stored members in one folder: `data.pkl` describes the tensors, see `pickled`, and `data/0`, `data/1`, … hold their
numbers, a storage each. Tensors that shared a storage share memory afterwards, as in PyTorch.
"""

from typing import Any

import numpy as np

from minimtl.backend import Array
from minimtl.io.archive import listed, members
from minimtl.io.pickled import BFLOAT16, Storage, Strided, described

NESTED = ("state_dict", "model_state_dict", "model")
LEGACY = bytes.fromhex("80028a0a6cfc9c46f9206aa85019")  # protocol 2, then the magic number 0x1950a86a20f9469cfc6c
LEAST_INSTRUCTIONS, LEAST_PICKLE = 40_000, 1 << 20  # a pickle may have these, and more in a large file


def read_pth(data: bytes) -> dict[str, Array]:
    """The tensors of a state dict, or of the one that a checkpoint has under "state_dict", "model_state_dict" or "model"."""
    if data.startswith(LEGACY):
        raise ValueError("it has the format of PyTorch before 1.6: there, torch.save(torch.load(path), path) writes today's")
    if any(member.name.endswith("/constants.pkl") for member in listed(data)[0]):
        raise ValueError("it is a TorchScript program: save the model's state_dict() instead")
    archive = members(data)
    folders = {name.partition("/")[0] for name in archive}
    if len(folders) != 1 or not all("/" in name and ".." not in name.split("/") for name in archive):
        raise ValueError("its members do not lie in one folder, as torch.save has them")
    files = {name.partition("/")[2]: contents for name, contents in archive.items()}
    if files.get("byteorder", b"little") != b"little" or "data.pkl" not in files:
        raise ValueError("it has no data.pkl, or numbers with the highest byte first")
    code = bytes(files["data.pkl"])
    if len(code) > LEAST_PICKLE + len(data) // 16:
        raise ValueError(f"its pickle has {len(code)} bytes, too many for the size of the file")
    state = state_dict(described(code, LEAST_INSTRUCTIONS + len(data) // 200))
    storages: dict[str, tuple[Storage, Array]] = {}
    return {name: view(tensor, storages, files) for name, tensor in state.items()}


def state_dict(top: Any) -> dict[str, Strided]:
    """The dict of tensors, itself or one level down."""
    found = [top[key] for key in NESTED if key in top] if isinstance(top, dict) else []
    state = found[0] if len(found) == 1 and isinstance(found[0], dict) else top
    if not isinstance(state, dict):
        raise ValueError(f"it holds a {type(state).__name__}, not a dict of tensors")
    others = [key for key, value in state.items() if not isinstance(key, str) or not isinstance(value, Strided)]
    if others:
        told = ", ".join(f"{key!r:.40}: {type(state[key]).__name__}" for key in others[:5])
        raise ValueError(f"it is no dict of tensors, nor has it one as {', '.join(NESTED)}: it holds {told}")
    return state


def view(tensor: Strided, storages: dict[str, tuple[Storage, Array]], files: dict[str, Any]) -> Array:
    """The tensor as a view of its storage, which is copied from the file once."""
    held = tensor.storage
    if held.key not in storages:
        storages[held.key] = (held, numbers(held, files))
    known, array = storages[held.key]
    if known != held:
        raise ValueError(f"storage {held.key} is used as {held.n} of {held.dtype} and as {known.n} of {known.dtype}")
    step = array.itemsize
    strides = [n * step for n in tensor.stride]
    if 0 in tensor.shape:
        return np.empty(tensor.shape, array.dtype)
    return np.ndarray(tensor.shape, array.dtype, array, tensor.offset * step, strides)


def numbers(held: Storage, files: dict[str, Any]) -> Array:
    """All numbers of a storage, in memory of their own."""
    raw = files.get(f"data/{held.key}")
    size = 2 if isinstance(held.dtype, str) else held.dtype.itemsize
    if raw is None or len(raw) != held.n * size:
        has = "is missing" if raw is None else f"has {len(raw)} bytes"
        raise ValueError(f"storage {held.key} of {held.n} × {held.dtype} {has}"[:200])
    return widened(raw) if held.dtype == BFLOAT16 else from_bytes(raw, held.dtype)


def from_bytes(raw: Any, dtype: Any) -> Array:
    """The little-endian numbers in the bytes, in this machine's order; a byte of a bool that is not 0 is True."""
    if dtype == np.bool_:
        return np.frombuffer(raw, np.uint8) != 0
    return np.frombuffer(raw, dtype).astype(np.dtype(dtype).newbyteorder("="))


def widened(raw: Any) -> Array:
    """bfloat16 as float32, of which it is the upper half."""
    halves = np.zeros((len(raw) // 2, 2), "<u2")
    halves[:, 1] = np.frombuffer(raw, "<u2")
    return halves.view("<f4")[:, 0].astype(np.float32, copy=False)
