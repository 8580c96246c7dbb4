"""`.safetensors` and `.npz`: each array behind a header that says its type and shape.

`.safetensors` is 8 bytes, the length of a JSON header, {name: {dtype, shape, data_offsets}}, and the numbers, which must follow each
other without holes or overlaps. The library of that name lets names come twice, takes minutes for a hostile header of some
megabytes, and has no bfloat16 for NumPy; so only writing is left to it.
"""

import io
import json
import math
from typing import Any

import numpy as np

from minimtl import dtypes
from minimtl.backend import Array
from minimtl.io.archive import members
from minimtl.io.pth import from_bytes, widened

TYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1",
         "U8": "u1", "BOOL": "?"}  # fmt: skip
LEAST_HEADER = 1 << 19  # bytes that a header may have, and more in a large file
MOST_AXES = 64  # NumPy's limit


def read_safetensors(data: bytes) -> dict[str, Array]:
    """The arrays by name; bfloat16 becomes float32."""
    length = int.from_bytes(data[:8], "little")
    start = 8 + length
    if len(data) < 8 or start > len(data) or length > LEAST_HEADER + len(data) // 32:
        raise ValueError(f"its header announces {length} bytes, the file has {len(data)}")
    if not data.startswith(b"{", 8):
        raise ValueError("its header is no JSON object")
    header = json.loads(data[8:start].decode(), object_pairs_hook=unique)
    notes = header.pop("__metadata__", {})
    if not isinstance(notes, dict) or not all(isinstance(note, str) for note in notes.values()):
        raise ValueError("its __metadata__ is no dict of strings")
    places = {name: placed(name, entry) for name, entry in header.items()}
    end = 0
    for name, (_, _, begin, stop) in sorted(places.items(), key=lambda item: item[1][2:]):
        if begin != end:
            raise ValueError(f"{name!r:.99} starts at byte {begin} of the numbers, and {end} have come before it"[:300])
        end = stop
    if end != len(data) - start:
        raise ValueError(f"its header accounts for {end} bytes of numbers, it has {len(data) - start}"[:300])
    numbers, arrays = memoryview(data)[start:], {}
    for name, (dtype, shape, begin, stop) in places.items():
        raw = numbers[begin:stop]
        arrays[name] = (widened(raw) if dtype == "BF16" else from_bytes(raw, TYPES[dtype])).reshape(shape)
    return arrays


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """The pairs as a dict, if no name comes twice."""
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("its header has a name twice")
    return found


def placed(name: str, entry: Any) -> tuple[str, tuple[int, ...], int, int]:
    """dtype, shape, and the first byte and that behind the last, as the entry says and in agreement."""
    match entry:
        case {"dtype": str(dtype), "shape": list(shape), "data_offsets": [int(begin), int(stop)], **rest} if not rest:
            counts = all(type(n) is int and 0 <= n < 1 << 63 for n in (*shape, begin, stop)) and len(shape) <= MOST_AXES
            if dtype in TYPES and counts and begin + math.prod(shape) * np.dtype(TYPES[dtype]).itemsize == stop:
                return dtype, tuple(shape), begin, stop
            raise ValueError(f"{name!r:.99}: {dtype[:9]} of {len(shape)} axes is not read, or does not fill its bytes")
    raise ValueError(f"{name!r:.99} has other entries than dtype, shape and data_offsets")


def read_npz(data: bytes) -> dict[str, Array]:
    """The arrays by name, as NumPy's `savez` and `savez_compressed` write them; what unfolds too far is refused, see `archive`."""
    arrays: dict[str, Array] = {}
    for name, member in members(data, compressed=True).items():
        key = name.removesuffix(".npy")
        if key in arrays:
            raise ValueError(f"the name {key!r:.99} comes twice")
        arrays[key] = read_npy(key, member)
    return arrays


def read_npy(name: str, member: memoryview | bytes) -> Array:
    """The array of one member; what the header claims is compared with its bytes before anything is made of it."""
    stream = io.BytesIO(member[: 1 << 16])
    version = np.lib.format.read_magic(stream)
    read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}.get(version)
    if read is None:
        raise ValueError(f"{name!r:.99} has version {version} of the format .npy")
    shape, by_columns, dtype = read(stream)
    dtypes.to_dtype(dtype)
    numbers = member[stream.tell() :]
    if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != len(numbers):
        raise ValueError(f"{name!r:.99} has {len(numbers)} bytes, not what its shape {shape} of {dtype} needs"[:300])
    return from_bytes(numbers, dtype).reshape(shape, order="F" if by_columns else "C")
