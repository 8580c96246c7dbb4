"""How operations are spelt on a Tensor: `x.relu()`, `a + b`, `x[i]`. Each method hands over to the one function in `ops`.

`minimtl.ops` lies above this file and is looked up when a method is called: the only import in the house that climbs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Self, cast

import minimtl
from minimtl import dtypes, kernels
from minimtl.backend import Array, is_read_only, names_device
from minimtl.grad_mode import recording

if TYPE_CHECKING:
    import builtins

    from minimtl.autograd import Tensor, Version
    from minimtl.ops.check import Dims
    from minimtl.ops.reduce import Extreme


def comparable(x: object) -> bool:
    """Whether x is numbers; a Tensor is equal to nothing else, as in `tensor == None`."""
    return isinstance(x, (int, float)) or hasattr(x, "dtype")


# A method that only hands over is a line of a table.
# fmt: off


class Casts:
    """Casts and moves; apart, because `float`, `int` and `bool` are names of types in the other annotations."""

    __slots__ = ()
    array: Array
    requires_grad: builtins.bool
    _version: Version

    def to(self, target: object) -> Tensor:
        """In another dtype, or on another device ('cpu', 'cuda'), whichever the target names; itself where nothing changes."""
        if names_device(target):
            return minimtl.ops.to_device_of(self, target)
        dtype = dtypes.to_dtype(target)
        return cast("Tensor", self) if dtype == self.array.dtype else minimtl.ops.cast(self, dtype)

    def type(self, dtype: object) -> Tensor: return self.to(dtypes.to_dtype(dtype))
    def float(self) -> Tensor: return self.to(dtypes.float32)
    def double(self) -> Tensor: return self.to(dtypes.float64)
    def long(self) -> Tensor: return self.to(dtypes.int64)
    def int(self) -> Tensor: return self.to(dtypes.int32)
    def bool(self) -> Tensor: return self.to(dtypes.bool_)
    def cpu(self) -> Tensor: return self.to("cpu")
    def cuda(self) -> Tensor: return self.to("cuda")


class Methods(Casts):
    """The methods of `Tensor` that are operations."""

    __slots__ = ()

    # Arithmetic

    def __add__(self, other: Any) -> Tensor: return minimtl.ops.add(self, other)
    def __radd__(self, other: Any) -> Tensor: return minimtl.ops.add(other, self)
    def __sub__(self, other: Any) -> Tensor: return minimtl.ops.sub(self, other)
    def __rsub__(self, other: Any) -> Tensor: return minimtl.ops.sub(other, self)
    def __mul__(self, other: Any) -> Tensor: return minimtl.ops.mul(self, other)
    def __rmul__(self, other: Any) -> Tensor: return minimtl.ops.mul(other, self)
    def __truediv__(self, other: Any) -> Tensor: return minimtl.ops.div(self, other)
    def __rtruediv__(self, other: Any) -> Tensor: return minimtl.ops.div(other, self)
    def __mod__(self, other: Any) -> Tensor: return minimtl.ops.remainder(self, other)
    def __rmod__(self, other: Any) -> Tensor: return minimtl.ops.remainder(other, self)
    def __pow__(self, other: Any) -> Tensor: return minimtl.ops.pow(self, other)
    def __rpow__(self, other: Any) -> Tensor: return minimtl.ops.pow(other, self)
    def __matmul__(self, other: Any) -> Tensor: return minimtl.ops.matmul(self, other)
    def __rmatmul__(self, other: Any) -> Tensor: return minimtl.ops.matmul(other, self)
    def __neg__(self) -> Tensor: return minimtl.ops.neg(self)
    def __abs__(self) -> Tensor: return minimtl.ops.abs(self)
    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return minimtl.ops.eq(self, other) if comparable(other) else NotImplemented
    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return minimtl.ops.ne(self, other) if comparable(other) else NotImplemented
    def __lt__(self, other: Any) -> Tensor: return minimtl.ops.lt(self, other)
    def __le__(self, other: Any) -> Tensor: return minimtl.ops.le(self, other)
    def __gt__(self, other: Any) -> Tensor: return minimtl.ops.gt(self, other)
    def __ge__(self, other: Any) -> Tensor: return minimtl.ops.ge(self, other)
    def __invert__(self) -> Tensor: return minimtl.ops.bitwise_not(self)
    def __and__(self, other: Any) -> Tensor: return minimtl.ops.bitwise_and(self, other)
    def __rand__(self, other: Any) -> Tensor: return minimtl.ops.bitwise_and(other, self)
    def __or__(self, other: Any) -> Tensor: return minimtl.ops.bitwise_or(self, other)
    def __ror__(self, other: Any) -> Tensor: return minimtl.ops.bitwise_or(other, self)
    def add(self, other: Any) -> Tensor: return minimtl.ops.add(self, other)
    def sub(self, other: Any) -> Tensor: return minimtl.ops.sub(self, other)
    def mul(self, other: Any) -> Tensor: return minimtl.ops.mul(self, other)
    def div(self, other: Any) -> Tensor: return minimtl.ops.div(self, other)
    def remainder(self, other: Any) -> Tensor: return minimtl.ops.remainder(self, other)
    def pow(self, exponent: Any) -> Tensor: return minimtl.ops.pow(self, exponent)
    def neg(self) -> Tensor: return minimtl.ops.neg(self)
    def eq(self, other: Any) -> Tensor: return minimtl.ops.eq(self, other)
    def ne(self, other: Any) -> Tensor: return minimtl.ops.ne(self, other)
    def lt(self, other: Any) -> Tensor: return minimtl.ops.lt(self, other)
    def le(self, other: Any) -> Tensor: return minimtl.ops.le(self, other)
    def gt(self, other: Any) -> Tensor: return minimtl.ops.gt(self, other)
    def ge(self, other: Any) -> Tensor: return minimtl.ops.ge(self, other)
    def matmul(self, other: Any) -> Tensor: return minimtl.ops.matmul(self, other)
    def maximum(self, other: Any) -> Tensor: return minimtl.ops.maximum(self, other)
    def minimum(self, other: Any) -> Tensor: return minimtl.ops.minimum(self, other)
    def where(self, condition: Tensor, other: Any) -> Tensor: return minimtl.ops.where(condition, self, other)
    def clip(self, min: float | None = None, max: float | None = None) -> Tensor: return minimtl.ops.clip(self, min, max)
    clamp = clip

    # Functions of each entry

    def exp(self) -> Tensor: return minimtl.ops.exp(self)
    def log(self) -> Tensor: return minimtl.ops.log(self)
    def sqrt(self) -> Tensor: return minimtl.ops.sqrt(self)
    def abs(self) -> Tensor: return minimtl.ops.abs(self)
    def sin(self) -> Tensor: return minimtl.ops.sin(self)
    def cos(self) -> Tensor: return minimtl.ops.cos(self)
    def tanh(self) -> Tensor: return minimtl.ops.tanh(self)
    def sigmoid(self) -> Tensor: return minimtl.ops.sigmoid(self)
    def relu(self) -> Tensor: return minimtl.ops.relu(self)

    # Reductions

    def sum(self, dim: Dims = None, keepdim: bool = False) -> Tensor: return minimtl.ops.sum(self, dim, keepdim)
    def mean(self, dim: Dims = None, keepdim: bool = False) -> Tensor: return minimtl.ops.mean(self, dim, keepdim)

    def var(self, dim: Dims = None, correction: int = 1, keepdim: bool = False) -> Tensor:
        return minimtl.ops.var(self, dim, correction, keepdim)

    def std(self, dim: Dims = None, correction: int = 1, keepdim: bool = False) -> Tensor:
        return minimtl.ops.std(self, dim, correction, keepdim)

    def max(self, dim: int | None = None, keepdim: bool = False) -> Tensor | Extreme:
        return minimtl.ops.max(cast("Tensor", self), dim, keepdim)

    def min(self, dim: int | None = None, keepdim: bool = False) -> Tensor | Extreme:
        return minimtl.ops.min(cast("Tensor", self), dim, keepdim)

    def argmax(self, dim: int | None = None, keepdim: bool = False) -> Tensor: return minimtl.ops.argmax(self, dim, keepdim)
    def argmin(self, dim: int | None = None, keepdim: bool = False) -> Tensor: return minimtl.ops.argmin(self, dim, keepdim)
    def any(self, dim: Dims = None, keepdim: bool = False) -> Tensor: return minimtl.ops.any(self, dim, keepdim)
    def all(self, dim: Dims = None, keepdim: bool = False) -> Tensor: return minimtl.ops.all(self, dim, keepdim)
    def logsumexp(self, dim: Dims, keepdim: bool = False) -> Tensor: return minimtl.ops.logsumexp(self, dim, keepdim)
    def softmax(self, dim: int) -> Tensor: return minimtl.ops.softmax(self, dim)
    def log_softmax(self, dim: int) -> Tensor: return minimtl.ops.log_softmax(self, dim)

    def norm(self, p: float = 2.0, dim: Dims = None, keepdim: bool = False) -> Tensor:
        return minimtl.ops.norm(self, p, dim, keepdim)

    # Shapes

    def reshape(self, *shape: Any) -> Tensor: return minimtl.ops.reshape(self, shape)
    view = reshape

    def flatten(self, start_dim: int = 0, end_dim: int = -1) -> Tensor: return minimtl.ops.flatten(self, start_dim, end_dim)
    def permute(self, *dims: Any) -> Tensor: return minimtl.ops.permute(self, dims)
    def transpose(self, dim0: int, dim1: int) -> Tensor: return minimtl.ops.transpose(self, dim0, dim1)

    @property
    def T(self) -> Tensor:
        """The matrix transposed."""
        if self.array.ndim > 2:
            raise ValueError(f".T: needs a matrix, got the shape {self.array.shape}; .mT transposes the last two axes")
        return minimtl.ops.permute(self, tuple(reversed(range(self.array.ndim))))

    @property
    def mT(self) -> Tensor:
        """The last two axes exchanged."""
        return minimtl.ops.transpose(self, -2, -1)

    def t(self) -> Tensor: return self.T
    def squeeze(self, dim: Dims = None) -> Tensor: return minimtl.ops.squeeze(self, dim)
    def unsqueeze(self, dim: int) -> Tensor: return minimtl.ops.unsqueeze(self, dim)
    def expand(self, *sizes: Any) -> Tensor: return minimtl.ops.expand(self, sizes)

    def split(self, split_size: int | Sequence[int], dim: int = 0) -> tuple[Tensor, ...]:
        return minimtl.ops.split(cast("Tensor", self), split_size, dim)

    def index_select(self, dim: int, index: Tensor) -> Tensor: return minimtl.ops.index_select(self, dim, index)
    def clone(self) -> Tensor: return minimtl.ops.clone(self)
    def contiguous(self) -> Tensor: return cast("Tensor", self) if self.array.flags.c_contiguous else self.clone()
    def __getitem__(self, index: Any) -> Tensor: return minimtl.ops.getitem(self, index)
    def __iter__(self) -> Iterator[Tensor]: return (self[i] for i in range(len(self)))

    def __len__(self) -> int:
        if not self.array.ndim:
            raise TypeError("len: a 0-d tensor has no length")
        return len(self.array)

    def size(self, dim: int | None = None) -> Any:
        """The shape, or the length of one axis."""
        shape = self.array.shape
        return shape if dim is None else shape[minimtl.ops.check.axis("size", self.array, dim)]

    def dim(self) -> int:
        """The number of axes."""
        return int(self.array.ndim)

    def numel(self) -> int:
        """The number of entries."""
        return int(self.array.size)

    # Python numbers

    def item(self) -> Any:
        """The one number it holds, as a Python number."""
        if self.array.size != 1:
            raise ValueError(f"item: needs a tensor of one number, this one has {self.array.size}")
        return self.array.item()

    def tolist(self) -> Any:
        """The numbers as nested Python lists."""
        return self.array.tolist()

    def __bool__(self) -> bool: return bool(self.item())
    def __float__(self) -> float: return float(self.item())
    def __int__(self) -> int: return int(self.item())

    def __index__(self) -> int:
        if self.array.dtype.kind not in "iub":
            raise TypeError(f"index: needs an integer tensor, got {self.array.dtype}")
        return int(self.item())

    def __format__(self, spec: str) -> str: return format(self.item() if spec and self.array.size == 1 else str(self), spec)
    def __contains__(self, value: Any) -> bool: return bool((self.array == value).any())

    # In place: never recorded, for a graph keeps the arrays that it was made with

    def _written(self) -> Array:
        """The array, to be written to now; counts the write, so that a graph that needs the old numbers refuses to run."""
        if self.requires_grad and recording.get():
            raise RuntimeError("in-place: this tensor requires a gradient; write under no_grad(), or make a new tensor")
        if is_read_only(self.array):
            raise RuntimeError("in-place: the numbers of an expanded tensor lie in one place; write to a clone()")
        self._version.count += 1
        return self.array

    def copy_(self, source: Any) -> Self:
        """x ← source, broadcast, and cast to the dtype of x."""
        value = minimtl.ops.tensor_of(source)
        if value.requires_grad and recording.get():
            raise RuntimeError("in-place: the new numbers require a gradient, which writing would lose; detach() them")
        missing = self.array.ndim - value.ndim
        if missing < 0 or any(m not in (1, n) for m, n in zip(value.shape, self.array.shape[missing:], strict=True)):
            raise ValueError(f"in-place: numbers of shape {value.shape} do not fit a tensor of shape {self.array.shape}")
        self._written()[...] = value.array
        return self

    def _updated(self, new: Tensor) -> Self:
        """x ← new, the result of arithmetic on x: its kind of number must be that of x."""
        if dtypes.CATEGORY[new.dtype.kind] > dtypes.CATEGORY[self.array.dtype.kind]:
            raise TypeError(f"in-place: the result is {new.dtype}, which a tensor of {self.array.dtype} cannot hold")
        return self.copy_(new)

    def fill_(self, value: Any) -> Self:
        """x ← value, everywhere."""
        return self.copy_(value)

    def zero_(self) -> Self:
        """x ← 0."""
        return self.copy_(0)

    def add_(self, other: Any, alpha: float = 1) -> Self:
        """x ← x + α other."""
        return self._updated(minimtl.ops.tensor_of(self).detach() + (other if alpha == 1 else other * alpha))

    def sub_(self, other: Any, alpha: float = 1) -> Self:
        """x ← x − α other."""
        return self._updated(minimtl.ops.tensor_of(self).detach() - (other if alpha == 1 else other * alpha))

    def mul_(self, other: Any) -> Self:
        """x ← x other."""
        return self._updated(minimtl.ops.tensor_of(self).detach() * other)

    def div_(self, other: Any) -> Self:
        """x ← x / other."""
        return self._updated(minimtl.ops.tensor_of(self).detach() / other)

    def __setitem__(self, index: Any, value: Any) -> None:
        value = minimtl.ops.tensor_of(value)
        if value.requires_grad and recording.get():
            raise RuntimeError("in-place: the new numbers require a gradient, which writing would lose; detach() them")
        try:
            kernels.put(self._written(), minimtl.autograd.unwrap(index), value.array)
        except (IndexError, ValueError) as error:
            raise type(error)(f"index: {error} (tensor of shape {self.array.shape})") from error

    # `x += y` is x.add_(y) where nothing is recorded, else x = x + y

    def __iadd__(self, other: Any) -> Tensor:
        return self + other if self._is_recorded(other) else cast("Tensor", self.add_(other))

    def __isub__(self, other: Any) -> Tensor:
        return self - other if self._is_recorded(other) else cast("Tensor", self.sub_(other))

    def __imul__(self, other: Any) -> Tensor:
        return self * other if self._is_recorded(other) else cast("Tensor", self.mul_(other))

    def __itruediv__(self, other: Any) -> Tensor:
        return self / other if self._is_recorded(other) else cast("Tensor", self.div_(other))

    def _is_recorded(self, other: Any) -> bool:
        """Whether an operation on x and other would be recorded."""
        return recording.get() and any(getattr(x, "requires_grad", False) for x in (self, other))
