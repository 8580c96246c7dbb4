"""An array of another library, as CuPy's are: NumPy's functions work on it by dispatch, nothing converts it unasked."""

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np


class Foreign(np.lib.mixins.NDArrayOperatorsMixin):
    """A NumPy array in disguise that refuses to be mixed with NumPy arrays or to become one."""

    __module__ = "cupy"  # by which the engine knows an array of another library

    def __init__(self, array: Any) -> None:
        self.array = array

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("implicit conversion of a foreign array: this NumPy function does not dispatch")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        result = getattr(ufunc, method)(*disclose(inputs), **disclose(options))
        return options["out"][0] if "out" in options else disguise(result)

    def __array_function__(self, function: Callable[..., Any], _: Any, args: Any, options: Any) -> Any:
        return disguise(function(*disclose(args), **disclose(options)))

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__array"):  # the back doors by which NumPy would convert it after all
            raise AttributeError(name)
        value = getattr(self.array, name)
        if callable(value):
            return lambda *args, **options: disguise(value(*disclose(args), **disclose(options)))
        return disguise(value)

    def __getitem__(self, index: Any) -> Any:
        return disguise(self.array[disclose(index)])

    def __setitem__(self, index: Any, value: Any) -> None:
        self.array[disclose(index)] = disclose(value)

    def __iter__(self) -> Iterator[Any]:
        return map(disguise, iter(self.array))

    def __len__(self) -> int:
        return len(self.array)

    def __int__(self) -> int:
        return int(self.array)

    def __float__(self) -> float:
        return float(self.array)

    def __bool__(self) -> bool:
        return bool(self.array)


def disguise(value: Any) -> Any:
    """Arrays as Foreign, also inside tuples and lists; anything else as it is."""
    if isinstance(value, (tuple, list)):
        return type(value)(map(disguise, value))
    return Foreign(value) if isinstance(value, (np.ndarray, np.generic)) else value


def disclose(value: Any) -> Any:
    """The arrays behind Foreign ones; a NumPy array among them is an error, as it is to CuPy."""
    if isinstance(value, dict):
        return {key: disclose(item) for key, item in value.items()}
    if isinstance(value, (tuple, list)):
        return type(value)(map(disclose, value))
    if isinstance(value, np.ndarray):
        raise TypeError("a NumPy array met a foreign array")
    return value.array if isinstance(value, Foreign) else value
