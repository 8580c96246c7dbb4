"""What a sharing is: features for each task, and under them its head."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from minimtl import nn

T = TypeVar("T")


class Sharing(nn.Module, ABC):
    """ŷₖ = θₖ(zₖ)      x → {task: ŷₖ}; or {task: xₖ} → {task: ŷₖ}, where tasks have inputs of their own

    Subclasses say in `task_features` how zₖ comes of x, and in `own_parts` what beside the head only task k's loss reaches.
    """

    heads: nn.ModuleDict

    def __init__(self, heads: Mapping[str, nn.Module]) -> None:
        name = type(self).__name__
        if not isinstance(heads, Mapping) or not heads:
            raise ValueError(f"{name}: heads must be {{name: module}}, at least one, got {heads!r}")
        self.heads = nn.ModuleDict(heads)

    def check_owners(self) -> None:
        """No parameter belongs to two tasks, or to a head and to what is shared. To be called when all parts are there."""
        own = {p for k in self.heads for part in self.own_parts(k) for p in part.parameters()}
        others = [p for name, part in self.parts() if name != "heads" for p in part.parameters() if p not in own]
        owners: dict[nn.Parameter, str] = dict.fromkeys(others, "shared")
        for k in self.heads:
            for part in (self.heads[k], *self.own_parts(k)):
                for p in part.parameters():
                    if owners.setdefault(p, k) != k:
                        name = type(self).__name__
                        raise ValueError(f"{name}: head {k!r} has a parameter of shape {p.shape} of {owners[p]!r}")

    @abstractmethod
    def task_features(self, x: Any, tasks: Sequence[str]) -> dict[str, Any]:
        """{task: zₖ} of the tasks that are asked for."""

    def own_parts(self, task: str) -> Iterable[nn.Module]:
        """What only this task's loss reaches, beside its head."""
        return ()

    def forward(self, x: Any) -> dict[str, Any]:
        """The outputs of all tasks; with inputs per task, those of the tasks that have one."""
        if isinstance(x, Mapping):
            z = {k: self.task_features(x[k], [k])[k] for k in x}
        else:
            z = self.task_features(x, list(self.heads))
        return {k: self.heads[k](zk) for k, zk in z.items()}

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """φ: all that is no single task's."""
        own = {p for k in self.heads for p in self.task_parameters(k)}
        return (p for p in self.parameters() if p not in own)

    def task_parameters(self, task: str) -> Iterator[nn.Parameter]:
        """θₖ: the head, and what else only this task's loss reaches."""
        own = (p for part in (self.heads[task], *self.own_parts(task)) for p in part.parameters())
        return iter(dict.fromkeys(own))


def copies(name: str, make: Callable[[], T], n: int) -> list[T]:
    """What a function makes, n times; each time it must be new."""
    if isinstance(make, nn.Module) or not callable(make):
        raise TypeError(f"{name}: needs a function that makes modules, anew each time, got {type(make).__name__}")
    made = [make() for _ in range(n)]
    seen: set[nn.Parameter] = set()
    for one in made:
        parts: Any = one if isinstance(one, Sequence) else [one]
        own = {p for part in parts for p in part.parameters()}
        if own & seen:
            raise ValueError(f"{name}: the function gives the same module twice; it must make a new one at each call")
        seen |= own
    return made
