"""What a study leaves behind: a table in Markdown, with the command that made it, the date and the versions; and reading it again."""

import datetime
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

import numpy as np


class Table:
    """Rows of text under a title; `about` says what was measured: seeds, sizes, what ± means.

    table = Table("Δm of eight methods", ["method", "Δm, %"], about="5 seeds; ± is half of a 95 % interval")
    table.add("mean", "-1.2 ± 0.4")
    table.save("lessons/tables/methods.md", command="python lessons/07_methods.py --study")
    """

    def __init__(self, title: str, columns: Sequence[str], about: str = "") -> None:
        self.title, self.columns, self.about = title, list(columns), about
        self.rows: list[list[str]] = []
        self.origin = ""

    def add(self, *cells: object) -> None:
        """A row, one cell for each column."""
        if len(cells) != len(self.columns):
            raise ValueError(f"Table: a row needs {len(self.columns)} cells, {self.columns}, got {len(cells)}")
        row = [str(cell) for cell in cells]
        if any("|" in cell or "\n" in cell for cell in row):
            raise ValueError(f"Table: a cell may hold no | and no line break, got {row}")
        self.rows.append(row)

    def __getitem__(self, name: str) -> dict[str, str]:
        """{column: cell} of the row whose first cell is the name."""
        for row in self.rows:
            if row[0] == name:
                return dict(zip(self.columns, row, strict=True))
        raise KeyError(f"{self.title}: no row {name!r}; there are {[row[0] for row in self.rows]}")

    def number(self, name: str, column: str) -> float:
        """The number that a cell begins with: of "97.1 ± 0.2" it is 97.1."""
        cells = self[name]
        if column not in cells:
            raise KeyError(f"{self.title}: no column {column!r}; there are {self.columns}")
        return float(cells[column].split()[0].rstrip("%").replace("−", "-"))

    def text(self) -> str:
        """The table in Markdown, its columns aligned."""
        widths = [max(len(row[i]) for row in (self.columns, *self.rows)) for i in range(len(self.columns))]
        lines = [self.columns, ["-" * n for n in widths], *self.rows]
        return "\n".join("| " + " | ".join(c.ljust(n) for c, n in zip(line, widths, strict=True)) + " |" for line in lines)

    def __str__(self) -> str:
        """Title, what was measured, the table, and how it was made: as a lesson shows it."""
        head = " ".join(f"{part}." for part in (self.title, self.about) if part)
        return "\n".join(filter(None, [head, self.text(), self.origin]))

    def save(self, path: str | Path, command: str) -> None:
        """Write title, table, and how it was made."""
        versions = f"minimtl {version('minimtl')}, NumPy {np.__version__}, Python {platform.python_version()}"
        self.origin = f"Made by `{command}` on {datetime.date.today().isoformat()} with {versions}."
        parts = [f"# {self.title}", self.about, self.text(), self.origin]
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        Path(path).write_text("\n\n".join(filter(None, parts)) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: str | Path) -> "Table":
        """The table that `save` wrote."""
        lines = Path(path).read_text(encoding="utf-8").splitlines()
        cells = [[c.strip() for c in line.strip("|").split("|")] for line in lines if line.startswith("|")]
        prose = [line for line in lines if line and not line.startswith(("|", "# "))]
        if len(cells) < 2 or not lines[0].startswith("# ") or not prose or not prose[-1].startswith("Made by "):
            raise ValueError(f"{path}: no table with a title and its origin")
        table = cls(lines[0][2:], cells[0], " ".join(prose[:-1]))
        table.origin = prose[-1]
        for row in cells[2:]:
            table.add(*row)
        return table
