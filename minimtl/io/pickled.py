"""What a checkpoint's pickle describes, read without executing any of it.

A pickle is a program for a small stack machine, and Python's own machine calls whatever the program names. This one knows dicts,
lists, tuples, strings, numbers, and four names: `OrderedDict`, the two by which PyTorch rebuilds a tensor or a parameter, and the
types of storages. It looks nothing up and calls nothing: a tensor is noted as where its numbers lie. All else is refused by name.
"""

import math
from pickletools import genops
from typing import Any, NamedTuple

import numpy as np

Dtype = np.dtype[Any] | str
BFLOAT16 = "bfloat16"  # which NumPy lacks
STORAGES: dict[str, Dtype] = {
    "torch FloatStorage": np.dtype("<f4"), "torch DoubleStorage": np.dtype("<f8"), "torch HalfStorage": np.dtype("<f2"),
    "torch BFloat16Storage": BFLOAT16, "torch LongStorage": np.dtype("<i8"), "torch IntStorage": np.dtype("<i4"),
    "torch ShortStorage": np.dtype("<i2"), "torch CharStorage": np.dtype("i1"), "torch ByteStorage": np.dtype("u1"),
    "torch BoolStorage": np.dtype("?"),
}  # fmt: skip
CALLED = ("collections OrderedDict", "torch._utils _rebuild_tensor_v2", "torch._utils _rebuild_parameter")
PUSHED = {"BININT", "BININT1", "BININT2", "LONG1", "BINFLOAT", "BINUNICODE"}
MADE: dict[str, Any] = {"EMPTY_TUPLE": tuple, "EMPTY_LIST": list, "EMPTY_DICT": dict}
CONSTANTS = {"NONE": None, "NEWTRUE": True, "NEWFALSE": False}
MOST_AXES = 64  # NumPy's limit


class Name(NamedTuple):
    """A name that the pickle asks for: one of those above."""

    name: str


class Storage(NamedTuple):
    """n numbers in the member data/key of the archive."""

    dtype: Dtype
    key: str
    n: int


class Strided(NamedTuple):
    """x[i] = storage[offset + Σₐ iₐ strideₐ]      all such places lie within the storage"""

    storage: Storage
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


def described(code: bytes, most: int) -> Any:
    """What the pickle describes, in at most so many instructions: dicts and lists with `Strided` in the place of tensors."""
    stack: list[Any] = []
    below: list[list[Any]] = []  # what lies under each mark
    memo: dict[Any, Any] = {}
    for count, (opcode, value, at) in enumerate(genops(code)):
        if count == most:
            raise ValueError(f"its pickle has more than {most} instructions, too many for the size of the file")
        match opcode.name:
            case "PROTO" if value == 2:
                pass
            case name if name in PUSHED:
                stack.append(value)
            case name if name in CONSTANTS:
                stack.append(CONSTANTS[name])
            case name if name in MADE:
                stack.append(MADE[name]())
            case "MARK":
                below.append(stack)
                stack = []
            case "TUPLE":
                items, stack = stack, below.pop()
                stack.append(tuple(items))
            case "TUPLE1" | "TUPLE2" | "TUPLE3" as name:
                n = int(name[-1])
                if len(stack) < n:
                    raise ValueError(f"its pickle makes a tuple of {n} things out of {len(stack)}")
                stack[-n:] = [tuple(stack[-n:])]
            case "APPEND":
                extend(stack[-2], [stack.pop()])
            case "APPENDS":
                items, stack = stack, below.pop()
                extend(stack[-1], items)
            case "SETITEM":
                update(stack[-3], [stack.pop(-2), stack.pop()])
            case "SETITEMS":
                items, stack = stack, below.pop()
                update(stack[-1], items)
            case "BINPUT" | "LONG_BINPUT":
                memo[value] = stack[-1]
            case "BINGET" | "LONG_BINGET":
                stack.append(memo[value])
            case "GLOBAL":
                stack.append(named(str(value)))
            case "BINPERSID":
                stack.append(storage(stack.pop()))
            case "REDUCE":
                stack.append(made(arguments=stack.pop(), what=stack.pop()))
            case "BUILD" if type(stack[-2]) is dict:
                stack.pop()  # what else a state dict knows: the versions of its layers
            case "STOP":
                if below or len(stack) != 1 or at != len(code) - 1:
                    raise ValueError(f"its pickle stops at byte {at} with work undone")
                return stack[0]
            case name:
                raise ValueError(
                    f"its pickle asks for {name} {value if name == 'PROTO' else ''} at byte {at}, which is not read"
                )
    raise ValueError("its pickle does not stop")


def named(name: str) -> Name:
    """The name, if it is one of those that are read."""
    if name not in CALLED and name not in STORAGES:
        raise ValueError(f"its pickle asks for {'.'.join(name.split(' ', 1))!r}, and only tensors in dicts are read")
    return Name(name)


def extend(target: Any, items: list[Any]) -> None:
    """Append to a list."""
    if type(target) is not list:
        raise ValueError(f"its pickle appends to a {type(target).__name__}")
    target += items


def update(target: Any, items: list[Any]) -> None:
    """Set the items of a dict: key, value, key, value, …"""
    if type(target) is not dict or len(items) % 2:
        raise ValueError(f"its pickle sets {len(items)} items of a {type(target).__name__}")
    for key, value in zip(items[::2], items[1::2]):
        if type(key) not in (str, int):
            raise ValueError(f"its pickle has a key that is a {type(key).__name__}")
        if key in target:
            raise ValueError(f"the name {key!r:.99} comes twice")
        target[key] = value


def is_count(n: Any) -> bool:
    """Whether it is an integer ≥ 0."""
    return type(n) is int and n >= 0


def storage(identity: Any) -> Storage:
    """("storage", type, key, device, n) as a Storage. The key is a number, so that it can name no other file."""
    match identity:
        case ("storage", Name(name), str(key), str(), n) if (
            name in STORAGES and is_count(n) and key.isascii() and key.isdecimal()
        ):
            return Storage(STORAGES[name], key, n)
    raise ValueError("its pickle refers to something else than a storage of numbers")


def made(what: Any, arguments: Any) -> Any:
    """What PyTorch would make of the arguments: an empty dict, a tensor, or a parameter, which is its tensor."""
    match what, arguments:
        case Name("collections OrderedDict"), ():
            return {}
        case Name("torch._utils _rebuild_parameter"), (Strided() as tensor, bool(), _):
            return tensor
        case Name("torch._utils _rebuild_tensor_v2"), (Storage() as held, offset, tuple(shape), tuple(stride), bool(), _, *_):
            return strided(held, offset, shape, stride)
    raise ValueError("its pickle calls something with arguments that make no tensor")


def strided(held: Storage, offset: Any, shape: tuple[Any, ...], stride: tuple[Any, ...]) -> Strided:
    """The tensor, if all its numbers lie within the storage, and it has no more of them."""
    if not all(is_count(n) for n in (offset, *shape, *stride)) or len(shape) != len(stride) or len(shape) > MOST_AXES:
        raise ValueError("a tensor of its pickle has sizes, strides or an offset that are no counts")
    places = 0 if 0 in shape else 1 + sum((n - 1) * step for n, step in zip(shape, stride))
    if offset + places > held.n:
        raise ValueError(f"a tensor reaches to number {offset + places} of storage {held.key}, which has {held.n}"[:200])
    if places and math.prod(shape) > held.n:
        raise ValueError(f"a tensor repeats the numbers of storage {held.key} by strides of 0, or overlaps itself")
    return Strided(held, offset, shape, stride)
