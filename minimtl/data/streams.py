"""Loaders around loaders: batches changed, and batches made ready in the background."""

import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator
from typing import Any

from minimtl.random import default_draws_refused


class Around:
    """A loader around another: as long, over the same data set."""

    def __init__(self, loader: Any) -> None:
        if not hasattr(loader, "__len__") or not hasattr(loader, "__iter__"):
            raise TypeError(f"{type(self).__name__}: needs a loader with a length, got {type(loader).__name__}")
        self.loader: Any = loader

    def __len__(self) -> int:
        return len(self.loader)

    @property
    def dataset(self) -> Any:
        """The data set of the loader; of a list of batches the list."""
        return getattr(self.loader, "dataset", self.loader)


class Mapped(Around):
    """f(b₁), f(b₂), …      for the batches b of a loader: what changes inputs and labels together, as `augment.MixUp`."""

    def __init__(self, loader: Iterable[Any], f: Callable[[Any], Any]) -> None:
        super().__init__(loader)
        if not callable(f):
            raise TypeError(f"Mapped: f must be a function of a batch, got {type(f).__name__}")
        self.f = f

    def __iter__(self) -> Iterator[Any]:
        return map(self.f, self.loader)


class Prefetched(Around):
    """The batches of a loader, up to `depth` of them made ready by a thread while the consumer computes.

    They are to the bit those of the loader, in its order: one thread makes them one by one. The first is made where it is asked for,
    so that an order of samples is drawn when it would be without. What draws later, as augmentation does, needs a generator of its
    own: in the background a draw from the one that `manual_seed` seeds is an error, since a model draws from it at the same time. An
    error of the loader comes out in the consumer, behind the batches before it. The thread has ended when the pass is over, also
    one that was left early.
    """

    def __init__(self, loader: Iterable[Any], depth: int = 2) -> None:
        super().__init__(loader)
        if isinstance(depth, bool) or not isinstance(depth, int) or depth < 1:
            raise ValueError(f"Prefetched: depth must be an integer of at least 1, got {depth!r}")
        self.depth = depth

    def __iter__(self) -> Generator[Any, None, None]:
        batches = iter(self.loader)
        first = next(batches, None)
        if first is None:
            return
        ahead = Ahead(batches, self.depth)
        try:
            yield first
            yield from ahead
        finally:
            ahead.stop()


class Ahead:
    """What an iterator gives, fetched by a thread up to `depth` items before it is asked for."""

    def __init__(self, batches: Iterator[Any], depth: int) -> None:
        self.batches, self.depth = batches, depth
        self.ready: deque[Any] = deque()
        self.error: BaseException | None = None
        self.ended = self.stopped = False
        self.changed = threading.Condition()
        self.thread = threading.Thread(target=self.work, name="minimtl.data.Prefetched", daemon=True)
        self.thread.start()

    def work(self) -> None:
        """Fetch until there is no more, or nobody wants it."""
        try:
            with default_draws_refused("Prefetched: in the background"):
                for batch in self.batches:
                    with self.changed:
                        self.ready.append(batch)
                        self.changed.notify_all()
                        self.changed.wait_for(lambda: self.stopped or len(self.ready) < self.depth)
                        if self.stopped:
                            return
        except BaseException as error:
            self.error = error
        finally:
            with self.changed:
                self.ended = True
                self.changed.notify_all()

    def __iter__(self) -> Iterator[Any]:
        while True:
            with self.changed:
                self.changed.wait_for(lambda: self.ready or self.ended)
                if not self.ready:
                    break
                batch = self.ready.popleft()
                self.changed.notify_all()
            yield batch
        if self.error is not None:
            error, self.error = self.error, None
            raise error

    def stop(self) -> None:
        """End the thread, once it is done with the batch that it makes, and the pass of the loader."""
        with self.changed:
            self.stopped = True
            self.changed.notify_all()
        self.thread.join()
        close = getattr(self.batches, "close", None)
        if close is not None:
            close()
