"""The batches of an epoch, each with the tasks that take part in the step."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from minimtl.mtl.schedule import Schedule

Loader = Iterable[Any] | Mapping[str, Iterable[Any]]
Step = tuple[Any, Any, Sequence[str]]  # inputs, labels, tasks


class Epoch:
    """(x, y, tasks) for each step of an epoch. With a loader per task x and y are {task: xₖ} and {task: yₖ}."""

    def __init__(self, loader: Loader, tasks: Sequence[str], schedule: Schedule, epoch: int = 1, epochs: int = 1) -> None:
        self.loader, self.tasks, self.schedule, self.place = loader, tasks, schedule, (epoch, epochs)
        if isinstance(loader, Mapping):
            if set(loader) != set(tasks):
                raise ValueError(f"Trainer: the tasks are {list(tasks)}, the loaders are for {list(loader)}")
            self.own = {k: Restarted(loader[k]) for k in tasks}
            empty = [k for k, stream in self.own.items() if len(stream) == 0]
            if empty:
                raise ValueError(f"Trainer: tasks {empty} have no batch")

    def __len__(self) -> int:
        if not isinstance(self.loader, Mapping):
            return len(self.loader)  # type: ignore[arg-type]
        return self.schedule.length({k: len(stream) for k, stream in self.own.items()}, *self.place)

    def __iter__(self) -> Iterator[Step]:
        if not isinstance(self.loader, Mapping):
            once = dict.fromkeys(self.tasks, 1)  # all tasks have the same data
            for (x, y), now in zip(self.loader, self.schedule.steps(once, *self.place), strict=False):
                yield x, y, now
            return
        steps = self.schedule.steps({k: stream.samples for k, stream in self.own.items()}, *self.place)
        for _, now in zip(range(len(self)), steps, strict=False):
            batch = {k: self.own[k].next() for k in now}
            yield {k: x for k, (x, _) in batch.items()}, {k: y for k, (_, y) in batch.items()}, now


class Restarted:
    """The batches of a loader, again and again; every round shuffles anew."""

    def __init__(self, loader: Any) -> None:
        self.loader, self.batches = loader, iter(loader)
        dataset = getattr(loader, "dataset", loader)
        self.samples = sum(len(y) for _, y in loader) if isinstance(dataset, list) else len(dataset)

    def __len__(self) -> int:
        return len(self.loader)

    def next(self) -> Any:
        """The next batch."""
        batch = next(self.batches, None)
        if batch is None:
            self.batches = iter(self.loader)
            batch = next(self.batches)
        return batch
