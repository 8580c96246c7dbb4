"""The Tensor, and the recipe by which operations on arrays become operations on Tensors.

A Tensor is an array, and, where gradients are wanted, the Node of the graph that made it. `differentiable` makes an operation
of a function that returns its value and its vector-Jacobian products; `backward` and `grad` walk the graph back.
"""

import functools
import inspect
from collections.abc import Callable, Iterator, Sequence
from types import UnionType
from typing import Any, ParamSpec, Self, TypeVar, get_args, overload

import numpy as np

from minimtl import dtypes
from minimtl.backend import Array, device_of, is_array, is_read_only, owner, to_numpy
from minimtl.grad_mode import recording
from minimtl.graph import Edge, Map, Node, Version, add, pull_back
from minimtl.kernels.shared import unbroadcast
from minimtl.methods import Methods

P = ParamSpec("P")
T = TypeVar("T", bound="Tensor")


class Tensor(Methods):
    """An array of numbers that may take part in differentiation.

    `array` holds the numbers (NumPy, or CuPy on a GPU; write to it through the in-place methods alone), `grad` the gradient
    that `backward` left on a leaf, itself a Tensor, or None. The operations, spelt as PyTorch's, are in `Methods`.
    """

    __slots__ = ("__weakref__", "_node", "_requires_grad", "_version", "array", "grad")
    __array_ufunc__ = None  # so that `np.float64(2) * t` asks the Tensor
    __hash__ = object.__hash__

    array: Array
    grad: "Tensor | None"

    def __init__(self, array: Array, requires_grad: bool = False) -> None:
        if not is_array(array):
            array = dtypes.from_python(array)
        self.array = array
        self.grad = None
        self._requires_grad = False
        self._node: Node | None = None
        self._version = Version(array)
        if requires_grad:
            self.requires_grad_()

    # What it is

    @property
    def shape(self) -> tuple[int, ...]:
        """The length of each axis."""
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The type of the numbers: `mm.float32`, `mm.int64`, …"""
        return self.array.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self.array.ndim

    @property
    def device(self) -> str:
        """'cpu' or 'cuda'."""
        return device_of(self.array)

    @property
    def is_leaf(self) -> bool:
        """Whether it was made by the user rather than by a recorded operation; only leaves get a `.grad`."""
        return self._node is None

    @property
    def grad_fn(self) -> "Node | None":
        """The recorded operation that made it; None for a leaf."""
        return self._node

    # Gradients

    @property
    def requires_grad(self) -> bool:
        """Whether `backward` brings it a gradient, or passes one through it."""
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for gradients of this leaf, or no longer; only floating-point numbers have any."""
        if requires_grad and not dtypes.is_float(self.array):
            raise TypeError(f"requires_grad: only floating-point tensors have gradients, this one is {self.dtype}")
        if not requires_grad and self._node is not None:
            raise RuntimeError("requires_grad: only leaves can be switched off; use detach() on a computed tensor")
        self._requires_grad = requires_grad
        return self

    def detach(self) -> "Tensor":
        """The same numbers in the same memory, without history."""
        result = Tensor(self.array)
        result._version = self._version
        return result

    @property
    def data(self) -> "Tensor":
        """`detach()`; assigning to it replaces the numbers and keeps the history of others intact."""
        return self.detach()

    @data.setter
    def data(self, value: "Tensor") -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"data: must be a Tensor, got {type(value).__name__}")
        if self._requires_grad and not dtypes.is_float(value.array):
            raise TypeError(f"data: a tensor that requires a gradient holds floating-point numbers, not {value.dtype}")
        self.array, self._version = value.array, value._version

    def backward(self, gradient: "Tensor | None" = None, retain_graph: bool = False) -> None:
        """Add ∂self/∂leaf, or gradientᵀ ∂self/∂leaf, to `.grad` of every leaf that requires it.

        The graph is released on the way unless `retain_graph`. After an error no `.grad` has changed.
        """
        if not self.requires_grad:
            raise RuntimeError("backward: this tensor depends on nothing that requires a gradient")
        found = pull_back("backward", _seeds("backward", [self], [gradient]), None, retain_graph)
        taken = set() if gradient is None else {id(owner(gradient.array))}
        leaves = {x: _exclusive(g, taken) for x, g in found.items() if isinstance(x, Tensor) and x._requires_grad}
        sums = {leaf: g if leaf.grad is None else leaf.grad.array + g for leaf, g in leaves.items()}
        for leaf, g in sums.items():
            leaf.grad = Tensor(g)

    # Out of the engine

    def numpy(self) -> Array:
        """The numbers as a read-only NumPy array, sharing memory where they are on the CPU. (PyTorch's is writable.)"""
        view = to_numpy(self.array).view()
        view.flags.writeable = False
        return view

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        if self._node is not None:
            raise RuntimeError("deepcopy: only leaves can be copied; use detach() first")
        grad = None if self.grad is None else self.grad.array.copy()
        return _rebuilt(type(self), self.array.copy(), self._requires_grad, grad)

    def __reduce__(self) -> tuple[Any, ...]:
        if self._node is not None:
            raise RuntimeError("pickle: only leaves can be saved; use detach() first")
        return _rebuilt, (type(self), self.array, self._requires_grad, None if self.grad is None else self.grad.array)

    def __repr__(self) -> str:
        text = np.array2string(to_numpy(self.array), separator=", ", prefix="tensor(", threshold=1000, precision=4)
        usual = self.dtype in (dtypes.float32, dtypes.int64, dtypes.bool_)
        extras = [] if usual else [f"dtype={self.dtype}"]
        extras += [] if self.device == "cpu" else [f"device='{self.device}'"]
        extras += [f"grad_fn=<{self._node.name}>"] if self._node else ["requires_grad=True"] * self.requires_grad
        return f"tensor({', '.join([text, *extras])})"


def _rebuilt(kind: type[T], array: Array, requires_grad: bool, grad: Array | None) -> T:
    """A leaf of the kind, as it was before it was copied or pickled."""
    new = kind.__new__(kind)
    Tensor.__init__(new, array, requires_grad)
    new.grad = None if grad is None else Tensor(grad)
    return new


# The recipe


@overload
def differentiable(function: Callable[P, tuple[Any, ...]]) -> Callable[P, Tensor]: ...
@overload
def differentiable(
    *, broadcasts: bool = False, casts: bool = False
) -> Callable[[Callable[P, tuple[Any, ...]]], Callable[P, Tensor]]: ...
def differentiable(function: Any = None, *, broadcasts: bool = False, casts: bool = False) -> Any:
    """Make an operation on Tensors of a pure function of arrays that returns its value and the maps back to its arguments.

        @differentiable
        def matmul(A, B):
            return A @ B, lambda G: G @ B.mT, lambda G: A.mT @ G

    The function returns (value, map, map, …): for each of its first arguments, in order, the map from the gradient of
    the value to the gradient of that argument, or None where there is no derivative. Without any map the value is a
    constant. A list as first argument counts as so many arguments. Of a tuple value the first member carries gradient.
    Only the maps that somebody needs are ever called.

    A floating-point value must have the dtype of the floating-point arguments, unless the operation `casts`; from
    integers alone comes float32. A gradient must have its argument's shape and dtype; where the operation `broadcasts`,
    it is summed over the axes that were broadcast, and cast back. Maps must not write to the gradient they are given.
    1/0 is ∞ and 0/0 is NaN without a warning, as in PyTorch.
    """
    if function is None:
        return functools.partial(differentiable, broadcasts=broadcasts, casts=casts)
    name = function.__name__.strip("_")
    signature = inspect.signature(function)
    accepted = [(p.name, _accepted(p.annotation, broadcasts)) for p in signature.parameters.values()]
    quiet = np.errstate(all="ignore")(function)

    @functools.wraps(function)
    def operation(*args: Any, **kwargs: Any) -> Any:
        options: dict[str, Any] = {}  # arguments that the function takes by keyword alone
        if kwargs:
            args, options = _positional(name, signature, args, kwargs)
        for (parameter, types), a in zip(accepted, args, strict=False):
            if not isinstance(a, types) and not is_array(a):
                raise TypeError(f"{name}: {parameter} must be a Tensor, got {type(a).__name__}")
        arrays = [unwrap(a) for a in args]
        try:
            result = quiet(*arrays, **{key: unwrap(a) for key, a in options.items()})
        except (ValueError, OverflowError) as error:
            _explain(name, arrays, broadcasts, error)
            raise
        if not isinstance(result, tuple):
            raise TypeError(f"{name}: an operation returns (value, map, …), this one returned {type(result).__name__}")
        value, *maps = result
        value, *constants = value if isinstance(value, tuple) else (value,)
        if not is_array(value):
            value = np.asarray(value)  # a reduction to one number gives a NumPy scalar
        if not casts:
            value = _checked_dtype(name, value, arrays, broadcasts)
        inputs = [*args[0], *args[1:]] if args and isinstance(args[0], (list, tuple)) else args
        inputs = [*inputs, *options.values()] if options else inputs
        tensors = [a for a in inputs if isinstance(a, Tensor)]
        y = _shown(value, tensors)
        others = [_shown(c, [y, *tensors]) for c in constants]
        if maps and recording.get():
            nested = [t for a in inputs if isinstance(a, (tuple, list)) for t in a if isinstance(t, Tensor)]
            if any(t._requires_grad for t in nested):
                raise TypeError(f"{name}: has no derivative with respect to tensors in a list, other than its first argument")
            if any(t._requires_grad for t in tensors):
                edges = list(_edges(name, inputs, maps, broadcasts))
                y._requires_grad = True
                y._node = Node(name, value, edges, [t._version for t in (y, *others, *tensors, *nested)])
        return (y, *others) if others else y

    return operation


def _positional(
    name: str, signature: inspect.Signature, args: tuple[Any, ...], kwargs: dict[str, Any]
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments by position, as far as there are keywords among them, and those that go by keyword alone."""
    filled, left = list(args), dict(kwargs)
    for parameter in list(signature.parameters.values())[len(args) :]:
        if not left or parameter.kind is parameter.KEYWORD_ONLY:
            break
        filled.append(left.pop(parameter.name, parameter.default))
    if left or any(a is inspect.Parameter.empty for a in filled):
        try:
            bound = signature.bind(*args, **kwargs)
        except TypeError as error:
            raise TypeError(f"{name}: {error}") from None
        bound.apply_defaults()
        return bound.args, bound.kwargs
    return tuple(filled), {}


def _accepted(annotation: Any, broadcasts: bool) -> tuple[type, ...]:
    """What an argument may be: a Tensor where `Array` is wanted, or a number where that broadcasts; else anything."""
    kinds = get_args(annotation) if isinstance(annotation, UnionType) else (annotation,)  # `Array | None` is a union
    if Array not in kinds:
        return (object,)
    return (Tensor, *(kind for kind in kinds if kind is not Array), *((int, float, np.generic) if broadcasts else ()))


def unwrap(a: Any) -> Any:
    """The array of a Tensor, the Python number of a NumPy scalar, also inside tuples and lists; anything else as it is."""
    if isinstance(a, Tensor):
        return a.array
    if isinstance(a, (tuple, list)):
        return type(a)([unwrap(i) for i in a]) if type(a) in (tuple, list) else a
    return a.item() if isinstance(a, np.generic) else a


def _shown(array: Any, relatives: Sequence[Tensor]) -> Tensor:
    """A Tensor of the array, with the version of a relative that shows the same memory."""
    new = Tensor(array)
    for t in relatives:
        if t._version.owner == new._version.owner:
            new._version = t._version
    return new


def _edges(name: str, inputs: Sequence[Any], maps: list[Map | None], broadcasts: bool) -> Iterator[Edge]:
    """An edge to each argument that requires a gradient."""
    for i, a in enumerate(inputs):
        if isinstance(a, Tensor) and a._requires_grad:
            carry = maps[i] if i < len(maps) else None
            if carry is None:
                raise TypeError(f"{name}: has no derivative with respect to an argument that requires a gradient")
            if not callable(carry):
                raise TypeError(f"{name}: a map must be a function of the gradient, got {type(carry).__name__}")
            shape, dtype = a.array.shape, a.array.dtype
            yield a._node or a, _fitted(carry, shape, dtype) if broadcasts else carry, shape, dtype


def _fitted(carry: Map, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Map:
    """The map of an argument that was broadcast: what it yields is summed back to the argument's shape."""

    def fitted(g: Array) -> Array:
        return unbroadcast(carry(g), shape).astype(dtype, copy=False)

    return fitted


def _checked_dtype(name: str, value: Array, arrays: list[Any], broadcasts: bool) -> Array:
    """The value in the dtype it must have: that of the floating-point arguments, or float32 made of integers."""
    if value.dtype.kind != "f":
        return value
    inputs = [*arrays[0], *arrays[1:]] if arrays and isinstance(arrays[0], (list, tuple)) else arrays
    floats = [a.dtype for a in inputs if is_array(a) and a.dtype.kind == "f"]
    if not floats:
        with np.errstate(over="ignore"):
            return value.astype(dtypes.float32, copy=False)
    if value.dtype not in floats or (not broadcasts and any(dtype != value.dtype for dtype in floats)):
        came = ", ".join(dict.fromkeys(str(a.dtype) for a in inputs if is_array(a)))
        raise TypeError(f"{name}: {came} came in and {value.dtype} comes out; all must be of one dtype")
    return value


def _explain(name: str, arrays: list[Any], broadcasts: bool, error: Exception) -> None:
    """Say what was wrong with the arguments where NumPy would not name the operation."""
    if isinstance(error, OverflowError):
        raise OverflowError(f"{name}: {error}") from None
    shapes = [getattr(a, "shape", ()) for a in arrays] if broadcasts else []
    try:
        np.broadcast_shapes(*shapes)
    except ValueError:
        raise ValueError(f"{name}: shapes {' and '.join(map(str, shapes))} do not broadcast") from error


# The way back


def _seeds(name: str, ys: Sequence[Tensor], vs: Sequence[Tensor | None]) -> dict[Node | Tensor, Array]:
    """The gradients that start at the outputs, added up where two outputs are one."""
    seeds: dict[Node | Tensor, Array] = {}
    for y, v in zip(ys, vs, strict=True):
        add(seeds, y._node or y, _seed(name, y, v))
    return seeds


def _seed(name: str, y: Tensor, cotangent: Tensor | None) -> Array:
    """The gradient that starts at output y: 1 for a scalar, else what the caller gave."""
    if cotangent is None:
        if y.array.size != 1:
            raise RuntimeError(f"{name}: a tensor of shape {y.shape} is no scalar and needs a gradient of its shape")
        return np.ones_like(y.array)
    if not isinstance(cotangent, Tensor) or cotangent.shape != y.shape or cotangent.dtype != y.dtype:
        came = f"{cotangent.dtype} {cotangent.shape}" if isinstance(cotangent, Tensor) else type(cotangent).__name__
        raise ValueError(f"{name}: the gradient must be a Tensor of {y.dtype} {y.shape}, got {came}")
    return cotangent.array.view()  # an object of its own: the caller may write to the gradient given


def _exclusive(g: Array, taken: set[int]) -> Array:
    """g in memory of its own, so that a leaf's gradient can be written to without changing another's."""
    whole = owner(g)
    if id(whole) in taken or getattr(whole, "size", None) != g.size or is_read_only(g):
        return g.copy()
    taken.add(id(whole))
    return g


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """∂(Σ outputs)/∂input for each input, leaf or computed, as a tuple; no `.grad` is touched.

    `grad_outputs` weights the outputs (vᵀJ) and is needed for those that are no scalars. An input that the outputs do not
    depend on is an error, or None with `allow_unused`.
    """
    ys = [outputs] if isinstance(outputs, Tensor) else list(outputs)
    xs = [inputs] if isinstance(inputs, Tensor) else list(inputs)
    vs = [grad_outputs] if isinstance(grad_outputs, Tensor) else list(grad_outputs or [None] * len(ys))
    if len(vs) != len(ys):
        raise ValueError(f"grad: {len(ys)} outputs need as many grad_outputs, got {len(vs)}")
    for kind, tensors in (("output", ys), ("input", xs)):
        for i, t in enumerate(tensors):
            if not t.requires_grad:
                raise RuntimeError(f"grad: {kind} {i} does not require a gradient")
    found = pull_back("grad", _seeds("grad", ys, vs), {x._node or x for x in xs}, retain_graph)
    unused = [i for i, x in enumerate(xs) if (x._node or x) not in found]
    if unused and not allow_unused:
        raise RuntimeError(f"grad: the outputs do not depend on input {unused[0]}; allow_unused=True gives None there")
    taken = {id(owner(v.array)) for v in vs if v is not None}
    return tuple(None if i in unused else Tensor(_exclusive(found[x._node or x], taken)) for i, x in enumerate(xs))
