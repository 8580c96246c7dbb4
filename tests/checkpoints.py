"""Checkpoint files, whole and broken: `.pth` written without PyTorch, and mutants of which it is known what reading must give.

A mutant is a file's bytes with what is right: a state, if the file still says that, whatever it says after a change that leaves the
file well formed; None if it must be refused; ANY if either is right, as for a changed number in a format without checksums.
"""

import io
import json
import struct
import zipfile
import zlib
from collections.abc import Callable, Iterator
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


def local(name: bytes, contents: bytes) -> bytes:
    crc = zlib.crc32(contents)
    return (
        struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 0, 0, 0, crc, len(contents), len(contents), len(name), 0) + name + contents
    )


def line(name: bytes, size: int, offset: int, crc: int, packed: int | None = None, method: int = 0) -> bytes:
    packed = size if packed is None else packed
    return (
        struct.pack("<4s6H3I5H2I", b"PK\1\2", 20, 20, 0, method, 0, 0, crc, packed, size, len(name), 0, 0, 0, 0, 0, offset)
        + name
    )


def hand_made(body: bytes, lines: list[bytes]) -> bytes:
    listing = b"".join(lines)
    return body + listing + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, len(lines), len(lines), len(listing), len(body), 0)


def hostile() -> Iterator[Mutant]:
    """Files made to do harm, one by one."""
    entries, storages = plain(STATE)
    good = pickled(entries)
    evil = {
        "system": b"\x80\x02cos\nsystem\nX\x04\x00\x00\x00true\x85R.",
        "posix": b"\x80\x02cposix\nsystem\n" + text("touch planted") + b"\x85R.",
        "eval": b"\x80\x02c__builtin__\neval\n" + text("1") + b"\x85R.",
        "exec": b"\x80\x02cbuiltins\nexec\n" + text("1") + b"\x85R.",
        "getattr": b"\x80\x02cbuiltins\ngetattr\n(ccollections\nOrderedDict\n" + text("fromkeys") + b"tR.",
        "inst": b"\x80\x02(" + text("true") + b"ios\nsystem\n.",
        "obj": b"\x80\x02(cos\nsystem\n" + text("true") + b"o.",
        "newobj": b"\x80\x02ccollections\nOrderedDict\n)\x81.",
        "stack global": b"\x80\x04" + text("os") + text("system") + b"\x93" + text("true") + b"\x85R.",
        "extension": b"\x80\x02\x82\x01.",
        "persistent": b"\x80\x02Pos.system\n.",
        "build": b"\x80\x02ccollections\nOrderedDict\n}" + text("__class__") + b"K\x01sb.",
        "load in load": b"\x80\x02ctorch.storage\n_load_from_bytes\n" + text("x") + b"\x85R.",
        "hook": good[:-2] + b"cos\nsystem\nu.",
        "laughs as key": b"\x80\x02}(" + b")" + b"q\x00h\x00\x86" * 40 + b"K\x01u.",
        "itself": b"\x80\x02]q\x00h\x00a.",
        "itself as state": b"\x80\x02}q\x00" + text("model") + b"h\x00s.",
        "huge text": b"\x80\x02X\xff\xff\xff\xff.",
        "huge number": b"\x80\x02\x8b\xff\xff\xff\x7f.",
        "twice": pickled({"a": entries["half"]})[:-2] + text("a") + entries["half"] + b"u.",
        "no stop": good[:-1],
        "more behind": good + b".",
        "nothing": b"",
        "a list": b"\x80\x02].",
        "protocol 5": b"\x80\x05}.",
        "expanded": pickled({"a": tensor("f4", "1", 3, 0, [10**9, 10**3], [0, 0])}),
        "huge empty": pickled({"a": tensor("f4", "1", 3, 0, [0, 2**62, 2**62], [1, 1, 1])}),
        "many axes": pickled({"a": tensor("f4", "1", 3, 0, [1] * 99, [1] * 99)}),
        "huge storage": pickled({"a": tensor("f4", "1", 2**62, 0, [2**62], [1])}),
        "two types": pickled({"a": tensor("f4", "1", 3, 0, [3], [1]), "b": tensor("i4", "1", 3, 0, [3], [1])}),
        "outside": pickled({"a": tensor("f4", "../../etc/passwd", 3, 0, [3], [1])}),
        "not there": pickled({"a": tensor("f4", "99", 3, 0, [3], [1])}),
        "quantised": b"\x80\x02ctorch._utils\n_rebuild_qtensor\n)R.",
    }  # fmt: skip
    for kind, code in evil.items():
        yield Mutant(f"pickle: {kind}", ".pth", pth(code, storages), None)
    shared = {"a": tensor("f4", "1", 3, 0, [3], [1]), "b": tensor("f4", "1", 3, 1, [2], [1])}
    yield Mutant("pickle: shared", ".pth", pth(pickled(shared), storages), {"a": np.ones(3, "f4"), "b": np.ones(2, "f4")})
    big = dict.fromkeys(["magic", "legacy"], bytes.fromhex("80028a0a6cfc9c46f9206aa85019") + bytes(100))
    yield from (Mutant(f"old format: {kind}", ".pth", data, None) for kind, data in big.items())
    everything = {"data.pkl": good, **storages}
    yield Mutant("two folders", ".pth", archive({"a/data.pkl": good, "b/data/0": b""}, folder=""), None)
    yield Mutant("no folder", ".pth", archive(everything, folder=""), None)
    yield Mutant("a way out", ".pth", archive({**everything, "../x": b""}), None)
    yield Mutant("big-endian", ".pth", archive({**everything, "byteorder": b"big"}), None)
    yield Mutant("TorchScript", ".pth", archive({**everything, "constants.pkl": good}), None)
    yield Mutant("compressed", ".pth", archive(everything, zipfile.ZIP_DEFLATED), None)
    yield Mutant("lzma", ".npz", archive({"a.npy": npy()}, zipfile.ZIP_LZMA, ""), None)
    yield Mutant("compressed, honest", ".npz", archive({"a.npy": npy()}, zipfile.ZIP_DEFLATED, ""), {"a": np.ones(2, "f4")})
    yield Mutant("behind the end", ".pth", archive(everything) + b"x", None)
    yield Mutant("two ends", ".pth", archive(everything) + archive({"data.pkl": good}), None)
    yield from zips()
    yield from npys()
    yield from headers()


def npy(shape: str = "(2,)", descr: str = "'<f4'", numbers: bytes = np.ones(2, "<f4").tobytes(), version: int = 1) -> bytes:
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY" + bytes([version, 0]) + struct.pack("<H" if version == 1 else "<I", len(header)) + header + numbers


def zips() -> Iterator[Mutant]:
    one = local(b"a.npy", npy())
    crc, size = zlib.crc32(npy()), len(npy())
    whole = hand_made(one, [line(b"a.npy", size, 0, crc)])
    yield Mutant("zip: by hand", ".npz", whole, {"a": np.ones(2, "f4")})
    yield Mutant("zip: overlap", ".npz", hand_made(one, [line(b"a.npy", size, 0, crc)] * 2), None)
    inner = local(b"b.npy", npy())
    nested = local(b"a.npy", npy() + inner)
    both = [
        line(b"a.npy", size + len(inner), 0, zlib.crc32(npy() + inner)),
        line(b"b.npy", size, len(nested) - len(inner), crc),
    ]
    yield Mutant("zip: one in another", ".npz", hand_made(nested, both), None)
    yield Mutant("zip: claims much", ".npz", hand_made(one, [line(b"a.npy", 2**32 - 2, 0, crc, size)]), None)
    yield Mutant("zip: reaches over", ".npz", hand_made(one, [line(b"a.npy", size + 40, 0, crc)]), None)
    yield Mutant("zip: offset behind the end", ".npz", hand_made(one, [line(b"a.npy", size, 10**6, crc)]), None)
    yield Mutant("zip: other name", ".npz", hand_made(one, [line(b"b.npy", size, 0, crc)]), None)
    yield Mutant("zip: a.npy and a", ".npz", archive({"a.npy": npy(), "a": npy()}, folder=""), None)
    empty = local(b"", b"")
    many = hand_made(empty, [line(b"", 0, 0, 0)] * 60_000)
    yield Mutant("zip: 60,000 members", ".npz", many, None)
    squeezed = zlib.compressobj(1, zlib.DEFLATED, -15)
    zeros = npy("(7500000,)", numbers=bytes(30_000_000))
    packed = squeezed.compress(zeros) + squeezed.flush()
    for kind, claim in (("honest", len(zeros)), ("claims little", 100), ("claims 4 MB", 4_000_000)):
        header = struct.pack("<4s5H3I2H", b"PK\3\4", 20, 0, 8, 0, 0, 0, len(packed), claim, 5, 0) + b"a.npy"
        bomb = hand_made(header + packed, [line(b"a.npy", claim, 0, zlib.crc32(zeros), len(packed), 8)])
        yield Mutant(f"zip: bomb, {kind}", ".npz", bomb, None)


def npys() -> Iterator[Mutant]:
    claims = ["(1,)", "(9,)", "(99999999999,)", "(-1,)", "(-1, -2)", "('a',)", "(2,", "(2.0,)", "(True, 2)", "(0, 99999999999)"]
    for shape in [*claims, "(" * 3000, "-" * 9000 + "1", "(" + "2," * 4000 + ")", "9" * 9000, "(1,)*10**9"]:
        right = {"a": np.ones((1, 2), "f4")} if shape == "(True, 2)" else None
        yield Mutant(f"npy: {shape[:20]}", ".npz", archive({"a.npy": npy(shape)}, folder=""), (right, None) if right else None)
    for descr in ("'|O'", "'<U2'", "'<c8'", "'<u8'", "[('a', '<f4', (1000000000,))]", "'V0'", "'<f3'", "'|S8'", "'<M8[s]'"):
        yield Mutant(f"npy: {descr[:20]}", ".npz", archive({"a.npy": npy(descr=descr)}, folder=""), None)
    yield Mutant(
        "npy: big-endian",
        ".npz",
        archive({"a.npy": npy(descr="'>i4'", numbers=b"\0\0\0\1" * 2)}, folder=""),
        {"a": np.ones(2, "i4")},
    )
    yield Mutant("npy: version 2", ".npz", archive({"a.npy": npy(version=2)}, folder=""), {"a": np.ones(2, "f4")})
    yield Mutant("npy: version 9", ".npz", archive({"a.npy": npy(version=9)}, folder=""), None)
    yield Mutant("npy: no header", ".npz", archive({"a.npy": b"\x93NUMPY"}, folder=""), None)


def headers() -> Iterator[Mutant]:
    def entry(begin: int, end: int, shape: Any = None, dtype: str = "F32", **more: Any) -> dict[str, Any]:
        return {"dtype": dtype, "shape": [(end - begin) // 4] if shape is None else shape, "data_offsets": [begin, end], **more}

    a, zeros = {"a": np.zeros(2, "f4")}, bytes(8)
    one = json.dumps(entry(0, 8)).encode()
    cases: dict[str, tuple[bytes, Any]] = {
        "right": (safetensors({"a": entry(0, 8)}, zeros), a),
        "padded": (safetensors(json.dumps({"a": entry(0, 8)}).encode() + b"   ", zeros), a),
        "notes": (safetensors({"__metadata__": {"format": "pt"}, "a": entry(0, 8)}, zeros), a),
        "bfloat16": (safetensors({"a": entry(0, 4, [2], "BF16")}, b"\x80\x3f\x00\xc0"), {"a": np.array([1, -2], "f4")}),
        "hole": (safetensors({"a": entry(0, 4), "b": entry(8, 12)}, bytes(12)), None),
        "overlap": (safetensors({"a": entry(0, 8), "b": entry(4, 12)}, bytes(12)), None),
        "the same bytes": (safetensors({"a": entry(0, 8), "b": entry(0, 8)}, zeros), None),
        "more behind": (safetensors({"a": entry(0, 8)}, bytes(9)), None),
        "too short": (safetensors({"a": entry(0, 8)}, bytes(7)), None),
        "a name twice": (safetensors(b'{"a":' + one + b',"a":' + one + b"}", zeros), None),
        "overflow": (safetensors({"a": entry(0, 8, [2**40, 2**40])}, zeros), None),
        "wraps to fit": (safetensors({"a": entry(0, 8, [2**62, 2**62, 2])}, zeros), None),
        "negative": (safetensors({"a": entry(0, 8, [-2, -1])}, zeros), None),
        "huge but empty": (safetensors({"a": entry(0, 0, [0, 2**62, 2**62])}, b""), None),
        "99 axes": (safetensors({"a": entry(0, 4, [1] * 99)}, bytes(4)), None),
        "true as size": (safetensors({"a": entry(0, 4, [True])}, bytes(4)), None),
        "fractions": (safetensors({"a": entry(0, 8, [2.0])}, zeros), None),
        "unknown type": (safetensors({"a": entry(0, 8, [1], "C64")}, zeros), None),
        "another field": (safetensors({"a": entry(0, 8, more=1)}, zeros), None),
        "a list": (safetensors(b"[]", b""), None),
        "a space first": (safetensors(b' {"a":' + one + b"}", zeros), None),
        "no UTF-8": (safetensors(b'{"\xff":' + one + b"}", zeros), None),
        "length 2⁶³": (safetensors({"a": entry(0, 8)}, zeros, 2**63), None),
        "length 0": (safetensors(b"", b""), None),
        "nothing": (b"", None),
    }
    for kind, (data, right) in cases.items():
        yield Mutant(f"header: {kind}", ".safetensors", data, right)


def costly() -> Iterator[Mutant]:
    """Files that would cost time or memory, and take most of a second to make or read even so."""
    pickles = {
        "deep": b"\x80\x02" + b"(" * 50_000 + b"t" * 50_000 + b".",
        "deep list": b"\x80\x02" + b"]" * 60_000 + b"a" * 59_999 + b".",
        "lists": b"\x80\x02" + b"]" * 900_000 + b".",
        "marks": b"\x80\x02" + b"(" * 900_000 + b".",
        "memo": b"\x80\x02N" + b"".join(b"r" + struct.pack("<I", i) for i in range(180_000)) + b".",
        "laughs": b"\x80\x02)" + b"q\x00h\x00\x86" * 2_000 + b".",
        "large text": b"\x80\x02" + text("a" * 900_000 + "\U0001f600") + b".",
    }  # fmt: skip
    yield from (Mutant(f"pickle: {kind}", ".pth", pth(code, {}), None) for kind, code in pickles.items())
    ones = {f"{i:05}": tensor("f4", "0", 65536, 0, [65536], [1]) for i in range(2_000)}
    yield Mutant("pickle: one storage 2,000 times", ".pth", pth(pickled(ones), {"data/0": bytes(1 << 18)}), ANY)
    heads = {
        "deep": safetensors(b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}", b""),
        "lists": safetensors(b'{"a":[' + b"[]," * 160_000 + b"[]]}", b""),
        "2 MB of lists": safetensors(b'{"a":[' + b"[]," * 700_000 + b"[]]}", b""),
        "digits": safetensors(b'{"a":' + b"9" * 400_000 + b"}", b""),
        "60,000 names": safetensors({f"{i}": {"dtype": "F32", "shape": [0], "data_offsets": [0, 0]} for i in range(60_000)}, b""),
    }  # fmt: skip
    yield from (Mutant(f"header: {kind}", ".safetensors", data, None) for kind, data in heads.items())
