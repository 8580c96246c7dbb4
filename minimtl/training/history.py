"""What a training run records: a row of numbers per epoch, and running means inside an epoch."""

from collections.abc import Callable, Sequence

import numpy as np

from minimtl.backend import Array
from minimtl.training.metrics import SHARES, mean


class Means:
    """Means of named numbers, each weighted by how many samples it stands for; and metrics, of all samples together."""

    def __init__(self) -> None:
        self.counted: dict[str, tuple[Callable[[Array], float], Array]] = {}

    def add(self, name: str, value: float, n: int) -> None:
        """Take in the mean `value` of n samples."""
        self.count(name, mean, np.array([value * n, n]))

    def count(self, name: str, value: Callable[[Array], float], sums: Array) -> None:
        """Take in sums, whose total `value` turns into one number."""
        if name in self.counted:
            before = self.counted[name][1]
            if before.shape != sums.shape:
                raise ValueError(f"{name}: batches differ in their number of classes: {before.shape} and {sums.shape}")
            sums = before + sums
        self.counted[name] = value, sums

    def values(self) -> dict[str, float]:
        """The means and metrics so far."""
        return {name: value(sums) for name, (value, sums) in self.counted.items()}


class History:
    """The rows of a run, one per epoch, each {"digit loss": …, "validation digit accuracy": …, "seconds": …}."""

    def __init__(self) -> None:
        self.rows: list[dict[str, float]] = []

    def append(self, row: dict[str, float]) -> None:
        """Record an epoch."""
        self.rows.append(row)

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, name: str) -> list[float]:
        """One number over all epochs, NaN where an epoch had none: `history["digit loss"]`."""
        if name not in self.names():
            raise KeyError(f"no {name!r} was recorded; there are {self.names()}")
        return [row.get(name, float("nan")) for row in self.rows]

    def names(self) -> list[str]:
        """What was recorded, in any epoch."""
        return list(dict.fromkeys(name for row in self.rows for name in row))

    def table(self, header: bool = True, rows: Sequence[dict[str, float]] | None = None) -> str:
        """The rows as aligned text; accuracies in percent, under a header with one line for each word of a name."""
        columns = [name.replace("validation", "valid.").split() for name in self.names()]
        widths = [max(7, *map(len, words)) for words in columns]
        lines = []
        if header:
            height = max(map(len, columns))
            padded = [[""] * (height - len(words)) + words for words in columns]
            lines = ["  ".join(w.rjust(n) for w, n in zip(line, widths, strict=True)) for line in zip(*padded, strict=True)]
        for row in self.rows if rows is None else rows:
            cells = [shown(name, row[name]) if name in row else "" for name in self.names()]
            lines.append("  ".join(c.rjust(n) for c, n in zip(cells, widths, strict=True)))
        return "\n".join(lines)


def shown(name: str, value: float) -> str:
    """A number as the table shows it."""
    if name == "epoch":
        return str(int(value))
    if name.split()[-1] in SHARES:
        return f"{100 * value:.2f} %"
    return f"{value:.1f}" if name == "seconds" else f"{value:.4f}"
