"""Whether operations are recorded: `no_grad`, `enable_grad`, `set_grad_enabled`. Every thread has a mode of its own."""

import inspect
from contextlib import ContextDecorator
from contextvars import ContextVar
from typing import Any, Self

recording: ContextVar[bool] = ContextVar("recording", default=True)


class no_grad(ContextDecorator):
    """Record nothing in this context, or in the function decorated: results need no gradient and keep nothing alive."""

    records = False

    def __init__(self) -> None:
        self.before: list[bool] = []

    def __enter__(self) -> Self:
        self.before.append(recording.get())
        recording.set(self.records)
        return self

    def __exit__(self, *exc: object) -> None:
        recording.set(self.before.pop())

    def __call__(self, function: Any) -> Any:
        if inspect.isgeneratorfunction(function):
            raise TypeError(f"{type(self).__name__}: a generator runs after its call; use the context inside of it")
        return super().__call__(function)

    def _recreate_cm(self) -> Self:
        """Each call of a decorated function enters a context of its own, for it may run in several threads at once."""
        return type(self)()


class enable_grad(no_grad):
    """Record again, inside `no_grad`."""

    records = True


class set_grad_enabled:
    """Record operations from here on, or not; as a context, until it ends. Threads do not share the mode."""

    def __init__(self, mode: bool) -> None:
        self.before = recording.get()
        recording.set(mode)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        recording.set(self.before)


def is_grad_enabled() -> bool:
    """Whether operations are recorded here."""
    return recording.get()
