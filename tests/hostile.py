"""Checkpoint files made to do harm, or to show a limit, one by one: see `tests.checkpoints` for what is right of them."""

import json
import struct
import zipfile
import zlib
from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.checkpoints import ANY, STATE, Mutant, archive, pickled, plain, pth, safetensors, tensor, text


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
