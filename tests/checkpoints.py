"""Checkpoint files, whole and broken: `.pth` written without PyTorch, and mutants of which it is known what reading must give.

A mutant is a file's bytes with what is right: a state, if the file still says that, whatever it says after a change that leaves the
file well formed; None if it must be refused; ANY if either is right, as for a changed number in a format without checksums.
"""

import io
import json
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

import minimtl as mm

ANY = "a state, or a refusal"
STATE: dict[str, Any] = {
    "conv.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4) / 7, "bn.running_var": np.ones(3, np.float32),
    "bn.num_batches_tracked": np.array(7), "half": np.array([1.5, -2.0], np.float16), "mask": np.array([True, False, True]),
    "empty": np.zeros((0, 3), np.float32), "fc.weight": np.linspace(-1, 1, 40, dtype=np.float64).reshape(5, 8),
}  # fmt: skip
NAMES = {"f4": "Float", "f8": "Double", "f2": "Half", "i8": "Long", "i4": "Int", "i2": "Short", "i1": "Char", "u1": "Byte",
         "b1": "Bool", "bf16": "BFloat16"}  # fmt: skip


class Mutant(NamedTuple):
    """A file, by ending and bytes, and what is right."""

    kind: str
    ending: str
    data: bytes
    right: Any


def text(string: str) -> bytes:
    return b"X" + struct.pack("<I", len(string.encode())) + string.encode()


def number(n: int) -> bytes:
    if 0 <= n < 256:
        return b"K" + bytes([n])
    if -(1 << 31) <= n < 1 << 31:
        return b"J" + struct.pack("<i", n)
    raw = n.to_bytes(n.bit_length() // 8 + 1, "little", signed=True)
    return b"\x8a" + bytes([len(raw)]) + raw


def counts(numbers: Any) -> bytes:
    return b"(" + b"".join(map(number, numbers)) + b"t"


def tensor(type_: str, key: str, n: int, offset: int, shape: Any, stride: Any) -> bytes:
    """The instructions by which PyTorch's pickles rebuild a tensor."""
    stored = b"(" + text("storage") + f"ctorch\n{NAMES[type_]}Storage\n".encode() + text(key) + text("cpu") + number(n) + b"tQ"
    arguments = stored + number(offset) + counts(shape) + counts(stride) + b"\x89" + b"ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + arguments + b"tR"


def pickled(entries: dict[str, bytes]) -> bytes:
    """The pickle of a dict of what the instructions make."""
    items = b"".join(text(name) + code for name, code in entries.items())
    return b"\x80\x02ccollections\nOrderedDict\n)R(" + items + b"u."


def plain(state: dict[str, Any]) -> tuple[dict[str, bytes], dict[str, bytes]]:
    """The instructions for each array, and the bytes of the storages."""
    entries, storages = {}, {}
    for i, (name, array) in enumerate(state.items()):
        stride = np.cumprod([1, *array.shape[:0:-1]])[::-1][: array.ndim]
        entries[name] = tensor(array.dtype.str[1:], str(i), array.size, 0, array.shape, stride.tolist())
        storages[f"data/{i}"] = array.tobytes()
    return entries, storages


def archive(files: dict[str, bytes], method: int = zipfile.ZIP_STORED, folder: str = "archive/") -> bytes:
    """A zip with the files in a folder."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", method) as target:
        for name, contents in files.items():
            target.writestr(zipfile.ZipInfo(folder + name), contents, method)
    return stream.getvalue()


def pth(code: bytes, storages: dict[str, bytes], **others: bytes) -> bytes:
    return archive({"data.pkl": code, "byteorder": b"little", **storages, "version": b"3\n", **others})


def wholes(folder: Path) -> dict[str, bytes]:
    """STATE in each format."""
    entries, storages = plain(STATE)
    files = {".pth": pth(pickled(entries), storages)}
    mm.save(STATE, folder / "whole.npz")
    files[".npz"] = (folder / "whole.npz").read_bytes()
    header, numbers = {}, b""
    for name, array in STATE.items():
        type_ = {"f4": "F32", "f8": "F64", "f2": "F16", "i8": "I64", "b1": "BOOL"}[array.dtype.str[1:]]
        span = [len(numbers), len(numbers) + array.nbytes]
        header[name] = {"dtype": type_, "shape": list(array.shape), "data_offsets": span}
        numbers += array.tobytes()
    files[".safetensors"] = safetensors(header, numbers)
    return files


def safetensors(header: Any, numbers: bytes, length: int | None = None) -> bytes:
    raw = header if isinstance(header, bytes) else json.dumps(header).encode()
    return struct.pack("<Q", len(raw) if length is None else length) + raw + numbers


def rebuilt(rng: np.random.Generator) -> Mutant:
    """A tensor of any offset, sizes and strides, some of them out of bounds, over a storage whose size may be given wrongly."""
    numbers = rng.standard_normal(rng.integers(1, 30)).astype("f4")
    shape = rng.integers(0, 5, rng.integers(0, 4)).tolist()
    stride = [
        int(n) for n in rng.choice([0, 1, 2, 3, 5, 8, 2**40, -1], len(shape), p=[0.05, 0.4, 0.2, 0.15, 0.1, 0.05, 0.025, 0.025])
    ]
    offset = int(rng.choice([0, 1, 2, 9, 2**62, -1], p=[0.5, 0.2, 0.1, 0.1, 0.05, 0.05]))
    n = len(numbers) + int(rng.choice([0, 1, -1], p=[0.9, 0.05, 0.05]))
    data = pth(pickled({"a": tensor("f4", "0", n, offset, shape, stride)}), {"data/0": numbers.tobytes()})
    places = [offset + sum(i * s for i, s in zip(index, stride)) for index in np.ndindex(*shape)]
    fits = all(0 <= place < len(numbers) for place in places) and (bool(places) or 0 <= offset <= len(numbers))
    if n != len(numbers) or not fits or min(stride, default=0) < 0 or len(places) > len(numbers):
        return Mutant("strides", ".pth", data, None)
    return Mutant("strides", ".pth", data, {"a": np.array([numbers[p] for p in places], "f4").reshape(shape)})


def flipped(rng: np.random.Generator, whole: dict[str, bytes]) -> Mutant:
    """One bit is another. A zip's checksums see it where it matters."""
    ending = str(rng.choice(list(whole)))
    data = bytearray(whole[ending])
    data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
    return Mutant("bit", ending, bytes(data), ANY if ending == ".safetensors" else (STATE, None))


def cut(rng: np.random.Generator, whole: dict[str, bytes]) -> Mutant:
    """Cut off, or with a hole."""
    ending = str(rng.choice(list(whole)))
    data = whole[ending]
    at, to = sorted(rng.integers(0, len(data), 2).tolist())
    return Mutant("cut", ending, data[:at] if rng.random() < 0.5 or at == to else data[:at] + data[to:], None)


def spliced(rng: np.random.Generator, whole: dict[str, bytes]) -> Mutant:
    """Some bytes of the one format in the other, or of the file somewhere else in it."""
    ending, other = (str(rng.choice(list(whole))) for _ in range(2))
    data, n = bytearray(whole[ending]), int(rng.integers(1, 60))
    source = int(rng.integers(0, len(whole[other]) - n))
    at = int(rng.integers(0, len(data) - n))
    data[at : at + n] = whole[other][source : source + n]
    return Mutant("splice", ending, bytes(data), ANY if ending == ".safetensors" else (STATE, None))


def interesting(rng: np.random.Generator, whole: dict[str, bytes]) -> Mutant:
    """A field of 2, 4 or 8 bytes has a number of the kind that breaks readers."""
    ending = str(rng.choice(list(whole)))
    data, n = bytearray(whole[ending]), int(rng.choice([2, 4, 8]))
    value = int(rng.choice([0, 1, 2**15, 2**16 - 1, 2**31 - 1, 2**31, 2**32 - 1, 2**62, len(data)])) % (1 << 8 * n)
    headers = [i for sign in (b"PK\1\2", b"PK\3\4", b"PK\5\6") for i in range(len(data)) if data.startswith(sign, i)]
    base = int(rng.choice(headers)) if headers and rng.random() < 0.8 else int(rng.integers(0, len(data)))
    at = min(base + int(rng.integers(0, 46)), len(data) - n)
    data[at : at + n] = value.to_bytes(n, "little")
    return Mutant("number", ending, bytes(data), ANY if ending == ".safetensors" else (STATE, None))


def repickled(rng: np.random.Generator, whole: dict[str, bytes]) -> Mutant:
    """The pickle is changed, and the checksum with it."""
    entries, storages = plain(STATE)
    code = bytearray(pickled(entries))
    for _ in range(int(rng.integers(1, 4))):
        at = int(rng.integers(2, len(code)))
        match rng.integers(3):
            case 0:
                code[at] = int(rng.integers(256))
            case 1:
                code[at : at + int(rng.integers(1, 9))] = b""
            case _:
                code[at:at] = bytes(rng.integers(0, 256, int(rng.integers(1, 5))).tolist())
    return Mutant("pickle", ".pth", pth(bytes(code), storages), ANY)


def reheaded(rng: np.random.Generator, whole: dict[str, bytes]) -> Mutant:
    """Names, types, shapes or offsets of a `.safetensors` are swapped, or numbers in it changed: right only as it was."""
    data = whole[".safetensors"]
    n = int.from_bytes(data[:8], "little")
    header, numbers = json.loads(data[8 : 8 + n]), data[8 + n :]
    a, b = (header[str(name)] for name in rng.choice(list(header), 2, replace=False))
    field = str(rng.choice(["dtype", "shape", "data_offsets"]))
    if rng.random() < 0.5:
        a[field], b[field] = b[field], a[field]
    else:
        numbers_ = a[field] if isinstance(a[field], list) and a[field] else a["data_offsets"]
        numbers_[int(rng.integers(len(numbers_)))] += int(rng.choice([-1, 1, 4, 2**31, 2**63, -(2**31)]))
    size = {"F32": 4, "F64": 8, "F16": 2, "I64": 8, "BOOL": 1}
    fits = all(e["data_offsets"][1] - e["data_offsets"][0] == int(np.prod(e["shape"], dtype=object)) * size[e["dtype"]]
               and min([*e["shape"], *e["data_offsets"]]) >= 0 for e in header.values())  # fmt: skip
    end = 0
    for begin, stop in sorted(e["data_offsets"] for e in header.values()):
        fits, end = fits and begin == end, stop
    return Mutant("header", ".safetensors", safetensors(header, numbers), ANY if fits and end == len(numbers) else None)


def strided(rng: np.random.Generator, whole: dict[str, bytes]) -> Mutant:
    return rebuilt(rng)


RANDOM: tuple[Callable[[np.random.Generator, dict[str, bytes]], Mutant], ...] = (
    flipped, cut, spliced, interesting, repickled, reheaded, strided,
)  # fmt: skip
