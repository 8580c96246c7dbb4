"""The statements of a formula: which letter each gives a value to, by what sign, and what stands on its sides."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from minimtl.equations.piece import SQUARES, Piece, indexed, raised, symbol_text
from minimtl.equations.reader import Reader
from minimtl.equations.tokens import Token, UnreadableError, plain, safe

SIGNS = {"=": "=", r"\leftarrow": "←", r"\sim": "∼"}
DEEPEST = 40  # brackets in brackets
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
    drawn: str = ""  # the letter, where it is drawn from a distribution

    @property
    def text(self) -> str:
        """As it is shown in a terminal."""
        shown = f" {self.sign} ".join([self.left] * bool(self.left) + [p.text for p in self.sides])
        return f"{shown} for {self.condition.text}" if self.condition else shown

    def function(self, i: int) -> str:
        """What the function of the i-th side is called: that of a letter which stands on the right too, as L = Σ Lₖ, ends in _0."""
        own = any(self.name in p.names for p in self.sides)
        return f"{self.name}_{i}" if i or own else safe(self.name)

    def program(self, steps: bool) -> list[str]:
        """As Python: an assignment where the formula goes step by step, else a function for each side."""
        if steps:
            return [f"{safe(self.name)} = {self.sides[0].python}"]
        head = ", ".join(self.parameters)
        where = f"  # for {self.condition.python}" if self.condition else ""
        return [f"def {self.function(i)}({head}):{where}\n    return {p.python}" for i, p in enumerate(self.sides)]


Head = tuple[str, tuple[str, ...], str, str]  # a letter, its parameters, both as they are shown, and the letter alone
Parts = tuple[list[list[Token]], list[str], list[Token]]


def parted(line: Sequence[Token]) -> list[list[Token]]:
    r"""The statements: between \quad, or \\ outside of cases; commas and full stops at their ends are punctuation."""
    found: list[list[Token]] = [[]]
    depth = 0
    for t in line:
        depth += (t.text in OPENING) - (t.text in CLOSING)
        if depth > DEEPEST:
            raise UnreadableError(f"brackets are nested more than {DEEPEST} deep")
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
        if not first:
            raise UnreadableError("a statement has no sign, and says nothing")
        return "objective", (), "", ""
    if len(set(signs)) > 1 or (len(signs) > 1 and signs[0] != "="):
        raise UnreadableError(f"a statement has the signs {' and '.join(SIGNS[s] for s in signs)}")
    reader = Reader(sides[0], names, {}, anything=True)
    if reader.derivative():
        name, shown, above, found = reader.slope()
        parameters = above + found
    else:
        name = reader.name()
        shown, found = symbol_text(name), []
        if reader.accept("^"):
            group = reader.group()
            label = plain(group)
            if not label or (group[0].text != r"\mathrm" and name + label not in SQUARES):
                raise UnreadableError(f"on the left {shown} has a power")
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
    letters = tuple(p.python for p in parameters)
    if len(set(letters)) < len(letters) or not all(map(str.isidentifier, letters)):
        raise UnreadableError(f"on the left the indices are different letters, not as in {text}")
    return name, letters, text, shown


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
        if condition:
            raise UnreadableError(f"where {shown} comes from has a condition")
        distribution = Reader(right[0], ("U", "N")).whole()
        return Statement("", (), shown, SIGNS[signs[0]], (distribution,), drawn=name)
    read = [Reader(side, names, defined, parameters, applied=applied) for side in right]
    found = tuple(r.whole(None if signs else Reader.objective) for r in read)
    when = Reader(condition, names, defined, parameters).whole(Reader.condition) if condition else None
    return Statement(name, parameters, shown, SIGNS[signs[0]] if signs else "", found, when)
