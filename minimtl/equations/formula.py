r"""A formula: statements, read one by one and evaluated together by loops over single numbers.

y_i = a = b, \quad \mu_c = …           the first is the result, on whose sides all must agree; the others define letters of it
b \leftarrow …, \quad \theta \leftarrow …   assignments, one after the other: the result is what the letters hold then
u_i \sim U(0, 1)                       where a letter comes from; its numbers are given
y_{ij} = 0 \quad \text{for } i \ne j   a result for some indices only
\min_{\theta} L                        a problem; the result is the objective L at the θ given
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product
from typing import Any

import numpy as np

from minimtl.equations.numbers import KNOWN, Numbered, readable
from minimtl.equations.piece import Piece, indexed, names_of, raised, symbol_text
from minimtl.equations.reader import Reader
from minimtl.equations.tokens import Token, UnreadableError, plain, tokens

SIGNS = {"=": "=", r"\leftarrow": "←", r"\sim": "∼"}
OPENING = {"{", "(", "[", r"\{", r"\begin", r"\langle", r"\lfloor", r"\lceil"}
CLOSING = {"}", ")", "]", r"\}", r"\end", r"\rangle", r"\rfloor", r"\rceil"}


@dataclass(frozen=True)
class Statement:
    """The letter on the left, its parameters and how both are shown; the sign; the sides on the right; for which indices."""

    name: str
    parameters: tuple[str, ...]
    left: str
    sign: str
    sides: tuple[Piece, ...]
    condition: Piece | None = None

    @property
    def text(self) -> str:
        """As it is shown in a terminal."""
        shown = f" {self.sign} ".join([self.left] * bool(self.left) + [p.text for p in self.sides])
        return f"{shown} for {self.condition.text}" if self.condition else shown

    def function(self, i: int) -> str:
        """What the function of the i-th side is called: that of a letter which stands on the right too, as L = Σ Lₖ, ends in _0."""
        own = any(self.name in p.names for p in self.sides)
        return f"{self.name}_{i}" if i or own else self.name

    def program(self, steps: bool) -> list[str]:
        """As Python: an assignment where the formula goes step by step, else a function for each side."""
        if steps:
            return [f"{self.name} = {self.sides[0].python}"]
        head = ", ".join(self.parameters)
        return [f"def {self.function(i)}({head}):\n    return {p.python}" for i, p in enumerate(self.sides)]


class Formula:
    """A formula as it is printed, of which `names` may be used; indices count from `base`.

    `text` is for a terminal, `program` what is run, and `used` the symbols that must be given.
    """

    def __init__(self, latex: str, names: set[str], base: int = 1, outside: Mapping[str, float] | None = None) -> None:
        self.base, self.outside = base, dict(outside or {})
        parts = [split(part) for part in parted(tokens(latex))]
        if not parts:
            raise UnreadableError("there is no formula")
        self.steps = any(r"\leftarrow" in signs for _, signs, _ in parts)
        heads = [left(sides, signs, names, first=not i) for i, (sides, signs, _) in enumerate(parts)]
        defined = {name: (len(parameters), bare) for name, parameters, _, bare in heads[1:] if name}
        letters = {name for name, *_ in heads if name} if self.steps else set()
        self.applied: set[str] = set()
        self.statements = [
            statement(head, part, names | letters, {} if self.steps else defined, self.applied)
            for head, part in zip(heads, parts, strict=True)
        ]
        self.text = ";  ".join(s.text for s in self.statements)
        self.program = "\n".join(line for s in self.statements if s.name for line in s.program(self.steps))
        pieces = [p for s in self.statements if s.name for p in (*s.sides, s.condition) if p is not None]
        self.used = names_of(*pieces) - set(defined) - {i for s in self.statements for i in s.parameters}
        if self.steps:
            self.used = frozenset((names_of(*pieces) | {s.name for s in self.statements}) & names)

    def evaluate(self, values: Mapping[str, Any], result: Any) -> list[tuple[Any, Any]]:
        """Pairs of what the formula gives and what the function gave, flat lists of numbers: one for each side or letter.

        `result` is the function's, in the shape that the indices on the left run over, or a dictionary of those of several letters.
        In a formula in steps numbers may be arrays: then each entry takes the steps.
        """
        missing = sorted(self.used - set(values))
        if missing:
            raise UnreadableError(f"no value is given for {', '.join(map(symbol_text, missing))}")
        for name in sorted(self.applied & set(values)):
            if not all(map(callable, entries_of(values[name]))):
                raise UnreadableError(
                    f"{symbol_text(name)}(…) is a function applied, and {symbol_text(name)} is none; write a product with \\,"
                )
        if self.steps:
            return self.stepped(values, result)
        space = self.space(values)
        exec(self.program, space)
        for s in self.statements[1:]:
            if s.name:
                space[s.name] = cache(space[s.name])
        results = result if isinstance(result, Mapping) else {self.statements[0].name: result}
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
        return {**KNOWN, **{name: readable(name, v, self.base, self.outside.get(name)) for name, v in values.items()}}

    def stepped(self, values: Mapping[str, Any], result: Mapping[str, Any]) -> list[tuple[Any, Any]]:
        """The letters after the steps, for each entry of the arrays among the values."""
        sizes = {len(v) for v in values.values() if isinstance(v, np.ndarray) and v.ndim}
        found: dict[str, list[float]] = {name: [] for name in result}
        for i in range(max(sizes, default=1)):
            space = self.space({name: v[i] if isinstance(v, np.ndarray) and v.ndim else v for name, v in values.items()})
            exec(self.program, space)
            for name in result:
                found[name].append(space[name])
        return [(found[name], flat(result[name])) for name in result]


def ranges(result: Any, axes: int, base: int) -> list[range]:
    """What each index on the left runs over: the first axes of the result."""
    found: list[range] = []
    for _ in range(axes):
        if not isinstance(result, (list, tuple)) and np.ndim(result) == 0:
            raise UnreadableError(f"there are {axes} indices on the left, and the function's result has {len(found)} axes")
        found.append(range(base, base + len(result)))
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


# Statements

Head = tuple[str, tuple[str, ...], str, str]  # a letter, its parameters, both as they are shown, and the letter alone
Parts = tuple[list[list[Token]], list[str], list[Token]]


def parted(line: Sequence[Token]) -> list[list[Token]]:
    r"""The statements: between \quad, or \\ outside of cases; commas and full stops at their ends are punctuation."""
    found: list[list[Token]] = [[]]
    depth = 0
    for t in line:
        depth += (t.text in OPENING) - (t.text in CLOSING)
        if depth == 0 and t.text in (r"\quad", "\\\\"):
            found.append([])
        elif t.text != r"\quad":
            found[-1].append(t)
    for part in found:
        while part and part[-1].text in (",", "."):
            part.pop()
    found = [part for part in found if part]
    for i in reversed(range(1, len(found))):
        if found[i][0].text == r"\text":
            found[i - 1] += found.pop(i)
    return found


def split(line: list[Token]) -> Parts:
    r"""The sides of a statement, the signs between them, and the condition after \text{for}."""
    sides: list[list[Token]] = [[]]
    signs: list[str] = []
    depth = 0
    for i, t in enumerate(line):
        depth += (t.text in OPENING) - (t.text in CLOSING)
        if depth == 0 and t.text == r"\text":
            part = Reader(line[i + 1 :])
            if plain(part.group()) != "for":
                raise UnreadableError(r"only \text{for} and a condition may follow a statement")
            return sides, signs, list(part.tokens[part.at :])
        if depth == 0 and t.text in SIGNS:
            signs.append(t.text)
            sides.append([])
        else:
            sides[-1].append(t)
    return sides, signs, []


def left(sides: list[list[Token]], signs: list[str], names: set[str], first: bool) -> Head:
    """The letter that a statement gives a value to, its parameters, and how both are shown; no letter where it gives none."""
    if not signs:
        return ("objective" if first else "", (), "", "")
    reader = Reader(sides[0], names, {}, anything=True)
    if signs[0] == r"\sim":
        return "", (), reader.whole().text, ""
    if reader.derivative():
        name, shown, above, found = reader.slope()
        parameters = above + found
    else:
        name = reader.name()
        shown, found = symbol_text(name), []
        if reader.accept("^"):
            label = plain(reader.group())
            name, shown = name + label, shown + raised(label)
        if longer := reader.labelled(name):
            name, shown = longer
        elif reader.accept("_"):
            found = reader.subscript(reader.group())
        parameters = found
    text = indexed(Piece(name, shown), found).text
    if reader.peek() == "(":
        arguments, inside = reader.arguments()
        text += f"({inside})"
        parameters = parameters + ([] if first else arguments)
    reader.end()
    return name, tuple(p.python for p in parameters), text, shown


def statement(
    head: Head, parts: Parts, names: set[str], defined: Mapping[str, tuple[int, str]], applied: set[str]
) -> Statement:
    """A statement, read."""
    (name, parameters, shown, _), (sides, signs, condition) = head, parts
    clash = sorted(set(parameters) & names)
    if clash:
        raise UnreadableError(f"the index {clash[0]} of {shown} is the name of a symbol too")
    right = sides[1:] if signs else sides
    if signs[:1] == [r"\sim"]:
        return Statement("", (), shown, SIGNS[signs[0]], (Reader(right[0], names, {}, anything=True).whole(),))
    read = [Reader(side, names, defined, parameters, applied=applied) for side in right]
    found = None if not condition else Reader(condition, names, defined, parameters).whole(Reader.condition)
    return Statement(
        name, parameters, shown, SIGNS[signs[0]] if signs else "", tuple(r.whole(Reader.objective) for r in read), found
    )
