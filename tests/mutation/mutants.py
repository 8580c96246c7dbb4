"""Which mutants there are: cosmic-ray's, of the code that runs."""

import ast
import difflib
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from cosmic_ray.commands.init import init
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator
from cosmic_ray.work_db import use_db
from cosmic_ray.work_item import MutationSpec

MUTATED = ("minimtl/autograd.py", "minimtl/graph.py", "minimtl/kernels", "minimtl/ops")

Span = tuple[tuple[int, int], tuple[int, int]]  # (line, byte in the line) of the start and of the end


class Mutant(NamedTuple):
    path: str
    line: int
    operator: str
    occurrence: int  # of the places in the file where the operator applies
    function: str  # the outermost function or class around it

    def __str__(self) -> str:
        return f"{self.path}:{self.line} {self.operator.removeprefix('core/')}"

    def code(self, source: str) -> str:
        return mutate_code(source, get_operator(self.operator)(), self.occurrence)

    def diff(self, source: str) -> str:
        before, after = source.splitlines(), self.code(source).splitlines()
        return "\n".join(itertools.islice(difflib.unified_diff(before, after, lineterm="", n=0), 3, None))


def all_mutants(root: Path) -> list[Mutant]:
    """Every mutant of the files below root, always in one order."""
    files = [f for place in MUTATED for f in sorted((root / place).glob("*.py") if (root / place).is_dir() else [root / place])]
    with tempfile.TemporaryDirectory() as folder, use_db(Path(folder) / "session.sqlite") as session:
        init(files, session, {})
        specs = [mutation for item in session.work_items for mutation in item.mutations]
    return sorted(m for f in files for m in runnable(f, root, [s for s in specs if s.module_path == f]))


def runnable(file: Path, root: Path, specs: list[MutationSpec]) -> Iterator[Mutant]:
    """The mutants of a file less those of text and types."""
    source = file.read_text(encoding="utf-8")
    tree, lines = ast.parse(source), source.splitlines()
    outside = [span(node) for node in idle(tree)]
    named = [(span(node), node.name) for node in tree.body if isinstance(node, (ast.FunctionDef, ast.ClassDef))]
    for spec in specs:
        line, column = spec.start_pos
        at = (line, len(lines[line - 1][:column].encode()))
        if not any(start <= at < end for start, end in outside):
            function = next((name for (start, end), name in named if start <= at < end), "")
            yield Mutant(file.relative_to(root).as_posix(), line, spec.operator_name, spec.occurrence, function)


def idle(tree: ast.Module) -> Iterator[ast.AST]:
    """What is no code that runs: annotations, messages, which no test quotes, and the signatures of overloads."""
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield node
        elif isinstance(node, (ast.arg, ast.AnnAssign)) and node.annotation:
            yield node.annotation
        elif isinstance(node, ast.FunctionDef):
            yield from filter(None, [node.returns])
            if any(isinstance(d, ast.Name) and d.id == "overload" for d in node.decorator_list):
                yield node


def span(node: ast.AST) -> Span:
    """Where the node is, a function or class with its decorators."""
    first = min([node, *getattr(node, "decorator_list", [])], key=lambda n: n.lineno)
    column = 0 if first is not node else node.col_offset  # the @ before a decorator is not in its node
    return (first.lineno, column), (node.end_lineno, node.end_col_offset)
