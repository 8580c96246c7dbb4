"""Random numbers from explicit generators: the same seed gives the same bytes, NumPy's global state is never touched.

Numbers are always drawn on the CPU, so that a seed means the same on every device.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np


class Generator:
    """A source of random numbers, spelt as PyTorch's; `rng` is the NumPy generator behind it."""

    def __init__(self, seed: int | None = None) -> None:
        self.rng = np.random.default_rng(seed)

    def manual_seed(self, seed: int) -> "Generator":
        """Start over from the seed (an integer ≥ 0)."""
        if not isinstance(seed, (int, np.integer)) or seed < 0:
            raise ValueError(f"manual_seed: the seed must be an integer ≥ 0, got {seed!r}")
        self.rng = np.random.default_rng(seed)
        return self


default_generator = Generator()
refusing: ContextVar[str] = ContextVar("refusing", default="")  # where draws from it are an error; every thread has its own


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, which draws wherever no `generator=` is given."""
    return default_generator.manual_seed(seed)


def rng_of(generator: Generator | None) -> np.random.Generator:
    """The NumPy generator to draw from: the given one's, else the default one's."""
    if generator is None and refusing.get():
        raise RuntimeError(f"{refusing.get()} nothing can be drawn from the default generator; give what draws a generator=")
    return (generator or default_generator).rng


@contextmanager
def default_draws_refused(where: str) -> Iterator[None]:
    """In this context and thread a draw from the default generator is an error, which begins with `where`."""
    before = refusing.set(where)
    try:
        yield
    finally:
        refusing.reset(before)


@contextmanager
def random_numbers_repeated() -> Iterator[None]:
    """What draws from the default generator in this context leaves it as it was, so that the next one sees the same numbers."""
    bits: Any = default_generator.rng.bit_generator
    before = bits.state
    try:
        yield
    finally:
        bits.state = before
