"""Which library holds the numbers: NumPy, or CuPy on a GPU. No other file imports cupy.

Kernels call `np.…` throughout: on a CuPy array NumPy hands the call to CuPy (NEP 13 and 18), and `np.zeros_like` and its
kin allocate where their argument lives. What is left for this file is to make arrays, to move them, and to say where they are.
"""

import importlib
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    Array = Any  # numpy.ndarray or cupy.ndarray: one interface, no common static type
else:

    class Array:
        """What a tensor's numbers are in: in the signature of an operation it says that the argument must be a Tensor."""


DEVICES = {
    "cpu": "cpu",
    "cpu:0": "cpu",
    "cuda": "cuda",
    "cuda:0": "cuda",
}  # names, and what they mean: there is one GPU at most


def cupy() -> Any:
    """The cupy module; an error that says what to install where there is none, or no GPU."""
    try:
        module = importlib.import_module("cupy")
    except ImportError as error:
        raise RuntimeError("device 'cuda' needs CuPy: pip install 'minimtl[gpu]'") from error
    try:
        count = module.cuda.runtime.getDeviceCount()
    except Exception as error:  # CuPy's own, where the driver is missing or too old
        raise RuntimeError(f"device 'cuda': CuPy is installed but finds no GPU: {error}") from error
    if count == 0:
        raise RuntimeError("device 'cuda': CuPy is installed but finds no GPU")
    return module


def cuda_is_available() -> bool:
    """Whether CuPy is installed and finds a GPU."""
    try:
        return bool(cupy())
    except RuntimeError:
        return False


def is_array(x: object) -> bool:
    """Whether x is an array of either library."""
    return isinstance(x, np.ndarray) or type(x).__module__.partition(".")[0] == "cupy"


def device_of(x: Array) -> str:
    """'cpu' or 'cuda', whichever holds x."""
    return "cpu" if isinstance(x, np.ndarray) else "cuda"


def names_device(target: object) -> bool:
    """Whether the target names a device."""
    return isinstance(target, str) and target in DEVICES


def to_device(x: Array, device: object) -> Array:
    """x on the device; x itself where it is there already."""
    if not names_device(device):
        raise ValueError(f"device must be one of {tuple(DEVICES)}, got {device!r}")
    kind = DEVICES[str(device)]
    if kind == device_of(x):
        return x
    return cupy().asarray(x) if kind == "cuda" else cupy().asnumpy(x)


def to_numpy(x: Array) -> Array:
    """x as a NumPy array, copied from the GPU where it lives there."""
    return to_device(x, "cpu")


def owner(x: Array) -> Array:
    """What holds the memory that x shows: x itself, or what it is a view of, through all the layers that NumPy keeps."""
    while (base := getattr(x, "base", None)) is not None:
        x = base
    return x


def is_read_only(x: Array) -> bool:
    """Whether x must not be written to: entries that were broadcast lie in one place, and NumPy marks their views for good."""
    repeats = x.size > 1 and any(stride == 0 and n > 1 for stride, n in zip(x.strides, x.shape, strict=True))
    return repeats or not getattr(x.flags, "writeable", True)


def device(kind: str) -> str:
    """The device of this name, checked: 'cpu' or 'cuda'."""
    if not names_device(kind):
        raise ValueError(f"device must be one of {tuple(DEVICES)}, got {kind!r}")
    return kind
