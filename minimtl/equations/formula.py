r"""A formula: statements, read one by one and evaluated together by loops over single numbers.

y_i = a = b, \quad \mu_c = …              the first is the result, on whose sides all must agree; the others define letters
b \leftarrow …, \quad \theta \leftarrow …   steps, one after the other: the result is what the letters hold then
u_i \sim U(0, 1)                          where a letter comes from: a `Sample` is drawn so
y_{ij} = 0 \quad \text{for } i \ne j      a result for some indices only
\min_{\theta} L                           a problem; the result is the objective L at the θ given
"""

from collections.abc import Mapping, Sequence
from functools import cache
from itertools import product
from typing import Any
from unicodedata import normalize

import numpy as np

from minimtl.equations.numbers import KNOWN, Numbered, OutsideError, Sample, readable
from minimtl.equations.piece import names_of, symbol_text
from minimtl.equations.statements import Statement, left, parted, split, statement
from minimtl.equations.tokens import UnreadableError, one_spelling, safe, tokens


class Formula:
    """A formula as it is printed, of which `names` may be used; indices count from `base`.

    `text` is for a terminal, `program` what is run, and `used` the symbols that must be given.
    """

    def __init__(self, latex: str, names: set[str], base: int = 1, outside: Mapping[str, float] | None = None) -> None:
        self.base, self.outside = base, dict(outside or {})
        line = tokens(latex)
        one_spelling(line)
        parts = [split(part) for part in parted(line)]
        if not parts:
            raise UnreadableError("there is no formula")
        self.steps = any(r"\leftarrow" in signs for _, signs, _ in parts)
        heads = [left(sides, signs, names, first=not i) for i, (sides, signs, _) in enumerate(parts)]
        letters = [name for (name, *_), (_, signs, _) in zip(heads, parts) if name and signs != [r"\sim"]]
        twice = [name for i, name in enumerate(letters) if not self.steps and name in letters[:i]]
        if twice:
            raise UnreadableError(f"{symbol_text(twice[0])} is defined twice")
        defined = {} if self.steps else {name: (len(p), bare) for name, p, _, bare in heads[1:] if name in letters}
        self.applied: set[str] = set()
        known = names | set(letters) if self.steps else names
        self.statements = [statement(h, part, known, defined, self.applied) for h, part in zip(heads, parts, strict=True)]
        for i, s in enumerate(self.statements):
            if self.steps and s.name and (len(s.sides) > 1 or s.parameters or s.condition):
                raise UnreadableError(f"in steps there is one letter on the left and one side on the right, {s.text} has more")
            if i and (len(s.sides) > 1 or s.condition):
                raise UnreadableError(f"a definition has one side and no condition, {s.text} has more")
        self.text = ";  ".join(s.text for s in self.statements)
        self.program = "\n".join(line for s in self.statements if s.name for line in s.program(self.steps))
        try:
            self.code = compile(self.program, self.text, "exec")
        except (SyntaxError, RecursionError, MemoryError) as error:
            raise UnreadableError(f"cannot read {latex}: {error}") from error
        pieces = [p for s in self.statements if s.name for p in (*s.sides, s.condition) if p is not None]
        self.used = names_of(*pieces) - set(defined) - {i for s in self.statements for i in s.parameters}
        if self.steps:
            self.used = frozenset((names_of(*pieces) | {s.name for s in self.statements}) & names)

    def evaluate(self, values: Mapping[str, Any], result: Any) -> list[tuple[Any, Any]]:
        """Pairs of what the formula gives and what the function gave, flat lists of numbers: one for each side or letter.

        `result` is the function's, in the shape that the indices on the left run over, or a dictionary of those of several letters.
        In a formula in steps numbers may be arrays: then each entry takes the steps.
        """
        values = {normalize("NFKC", name): value for name, value in values.items()}
        twice = sorted({s.name for s in self.statements[1:] if not self.steps and s.name} & set(values))
        if twice:
            raise UnreadableError(f"{symbol_text(twice[0])} is defined, and a value is given for it too")
        missing = sorted(self.used - set(values))
        if missing:
            raise UnreadableError(f"no value is given for {', '.join(map(symbol_text, missing))}")
        for name in sorted(self.applied & set(values)):
            if not all(map(callable, entries_of(values[name]))):
                raise UnreadableError(
                    f"{symbol_text(name)}(…) is a function applied, and {symbol_text(name)} is none; write a product with \\,"
                )
        try:
            return self.stepped(values, result) if self.steps else self.looped(values, result)
        except (UnreadableError, OutsideError):
            raise
        except Exception as error:
            raise UnreadableError(f"cannot evaluate {self.text}: {error}") from error

    def looped(self, values: Mapping[str, Any], result: Any) -> list[tuple[Any, Any]]:
        """The sides of the first statement, or of those that the result names, for all their indices."""
        space = self.space(values)
        exec(self.code, space)
        for s in self.statements[1:]:
            if s.name:
                space[s.function(0)] = cache(space[s.function(0)])
        results = result if isinstance(result, Mapping) else {self.statements[0].name: result}
        unknown = sorted(set(results) - {s.name for s in self.statements})
        if unknown:
            raise UnreadableError(f"there is a result for {symbol_text(unknown[0])}, to which the formula gives no value")
        return [pair for s in self.statements if s.name in results for pair in self.sides(s, space, results[s.name])]

    def sides(self, s: Statement, space: dict[str, Any], result: Any) -> list[tuple[Any, Any]]:
        """The sides of a statement beside the result, for all indices that its condition admits."""
        pairs = []
        for i in range(len(s.sides)):
            ours: list[float] = []
            theirs: list[float] = []
            for index in product(*ranges(result, len(s.parameters), self.base)):
                if s.condition is None or eval(s.condition.python, {**space, **dict(zip(s.parameters, index))}):
                    ours += flat(space[s.function(i)](*index))
                    theirs += flat(at(result, [k - self.base for k in index]))
            pairs.append((ours, theirs))
        return pairs

    def space(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The values as the program sees them, and the functions it knows."""
        drawn = {s.drawn: s.sides[0].python for s in self.statements if s.drawn}
        space = dict(KNOWN)
        for name, v in values.items():
            v = v.drawn(drawn[name]) if isinstance(v, Sample) and name in drawn else v
            space[safe(name)] = readable(name, v, self.base, self.outside.get(name))
        return space

    def stepped(self, values: Mapping[str, Any], result: Mapping[str, Any]) -> list[tuple[Any, Any]]:
        """The letters after the steps, for each entry of the arrays among the values."""
        sizes = {len(v) for v in values.values() if isinstance(v, np.ndarray) and v.ndim}
        found: dict[str, list[float]] = {name: [] for name in result}
        for i in range(max(sizes, default=1)):
            space = self.space({name: v[i] if isinstance(v, np.ndarray) and v.ndim else v for name, v in values.items()})
            exec(self.code, space)
            for name in result:
                found[name].append(space[safe(name)])
        return [(found[name], flat(result[name])) for name in result]


def ranges(result: Any, axes: int, base: int) -> list[range]:
    """What each index on the left runs over: the first axes of the result."""
    found: list[range] = []
    for _ in range(axes):
        if not isinstance(result, (list, tuple)) and np.ndim(result) == 0:
            raise UnreadableError(f"there are {axes} indices on the left, and the function's result has {len(found)} axes")
        found.append(range(base, base + len(result)))
        if axes > len(found) and len({np.shape(row)[:1] for row in result}) > 1:
            raise UnreadableError("the function's result has rows of different lengths")
        result = result[0] if len(result) else result
    return found


def at(result: Any, index: Sequence[int]) -> Any:
    """result[i][j] …"""
    for i in index:
        result = result[i]
    return result


def flat(value: Any) -> list[float]:
    """All numbers of nested lists, arrays or collections in a row."""
    if isinstance(value, Numbered):
        value = value.entries
    if isinstance(value, np.ndarray):
        return [float(v) for v in value.ravel()]
    if isinstance(value, (list, tuple)):
        return [v for part in value for v in flat(part)]
    return [float(value)]


def entries_of(value: Any) -> list[Any]:
    """The members of a list or of a dictionary's values; of anything else itself."""
    return list(value.values()) if isinstance(value, Mapping) else list(value) if isinstance(value, (list, tuple)) else [value]
