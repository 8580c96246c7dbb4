r"""A reader of restricted LaTeX: what one statement of a formula says, as Python over single numbers and as text.

    sum        ± product ± product …
    product    factors side by side, \cdot, \times, /, \bmod; \sum, \prod and \max take the rest of the product
    factor     a symbol, a number, \frac, \sqrt, \ln x …, ( ), | |, \lVert \rVert, \langle \rangle, \lfloor \rfloor, \lceil \rceil,
               [condition], which is 1 or 0, \begin{cases}; then indices _ and powers ^

A symbol that touches a bracket, f(x), is a function; with a space between, y \,(a + b), the two are multiplied: see `symbols`.
Everything else is refused by name: nothing is guessed.
"""

from collections.abc import Callable

from minimtl.equations.piece import ATOM, CONDITION, PRODUCT, SUM, Loop, Piece, added, called, lowered, multiplied, names_of
from minimtl.equations.symbols import Symbols
from minimtl.equations.tokens import ACCENTS, UnreadableError, letter, plain

FUNCTIONS = {r"\exp": "exp", r"\ln": "log", r"\log": "log", r"\tanh": "tanh", r"\sin": "sin", r"\cos": "cos"}
BRACKETS = {
    "(": ")", r"\{": r"\}", r"\lvert": r"\rvert", "|": "|", r"\lVert": r"\rVert", r"\|": r"\|", r"\langle": r"\rangle",
    r"\lfloor": r"\rfloor", r"\lceil": r"\rceil", "[": "]",
}  # fmt: skip
RELATIONS = {
    "=": "==",
    r"\ne": "!=",
    r"\neq": "!=",
    "<": "<",
    ">": ">",
    r"\le": "<=",
    r"\leq": "<=",
    r"\ge": ">=",
    r"\geq": ">=",
}
SIGNS = {"==": "=", "!=": "≠", "<=": "≤", ">=": "≥"}
BIG = {r"\sum": ("sum", "Σ"), r"\prod": ("prod", "Π"), r"\max": ("max", "max"), r"\min": ("min", "min")}
MEANINGS = {
    r"\lvert": ("abs", "|", "|"), "|": ("abs", "|", "|"), r"\langle": ("inner", "⟨", "⟩"),
    r"\lfloor": ("floor", "⌊", "⌋"), r"\lceil": ("ceil", "⌈", "⌉"),
}  # fmt: skip


class Reader(Symbols):
    """Reads sums, and so everything."""

    def objective(self) -> Piece:
        r"""\min_{θ} sum, a problem: the sum, shown with what is asked of it."""
        if [self.peek(), self.peek(1)] != [r"\min", "_"]:
            return self.sum()
        start = self.at
        self.at += 2
        group = self.group()
        if any(t.text in RELATIONS for t in group[:3]):  # a range: the least over an index
            self.at = start
            return self.sum()
        over, found = self.subscript(group), self.sum()
        text = f"min_{', '.join(p.text for p in over)} {found.text}"
        return Piece(found.python, text, found.level, SUM, found.names | names_of(*over))

    def sum(self) -> Piece:
        """± product ± product …"""
        sign = "-" if self.accept("-") else "+"
        self.accept("+")
        terms = [(sign, self.product())]
        while self.peek() in ("+", "-"):
            terms.append((self.take().text, self.product()))
        return added(terms)

    def product(self) -> Piece:
        """Factors, side by side or with a sign."""
        factors = [("*", self.factor())]
        while True:
            if self.accept(r"\cdot", r"\times"):
                factors.append(("*", self.factor()))
            elif self.accept("/"):
                factors.append(("/", self.factor()))
            elif self.accept(r"\bmod"):
                factors.append(("%", self.factor()))
            elif self.starts():
                if self.peek()[0] in ".0123456789" and (factors[-1][1].text[-1].isdigit() or self.peek()[0] == "."):
                    raise self.refusal("two numbers side by side are no product")
                if factors[-1][0] != "*":
                    raise self.refusal("in a / b c it is not clear what is below the stroke: write \\frac, or brackets")
                factors.append(("*", self.factor()))
            else:
                return multiplied(factors)

    def starts(self) -> bool:
        """Whether a factor is next."""
        t = self.peek()
        opens = t in BRACKETS and t not in ("|", r"\|")
        known = t in BIG or t in FUNCTIONS or t in ACCENTS or t in (r"\frac", r"\sqrt", r"\infty", r"\begin")
        return bool(t) and (opens or known or t[0].isdigit() or letter(t) is not None or self.derivative())

    def factor(self) -> Piece:
        """One factor, with its indices and powers."""
        t = self.peek()
        if t in BIG:
            return self.big()
        if t in FUNCTIONS:
            return self.function(FUNCTIONS[self.take().text], t[1:])
        if t == r"\frac":
            return self.derivative_or_fraction()
        if t == r"\sqrt":
            return self.powers(self.root())
        if t == r"\begin":
            return self.cases()
        if t == r"\infty":
            self.take()
            return Piece("inf", "∞")
        if t and t[0] in "0123456789.":
            if len(t) > 1 and t[0] == "0" and t[1] != ".":
                raise self.refusal("a number does not begin with 0")
            return self.powers(Piece(self.take().text, t))
        if t in BRACKETS:
            return self.powers(self.brackets(), bracket=True)
        if letter(t) is not None or t in ACCENTS:
            return self.symbol()
        raise self.refusal()

    def root(self) -> Piece:
        """\\sqrt{a}, \\sqrt[n]{a}"""
        self.take(r"\sqrt")
        if self.peek() == "[":
            raise self.refusal("write a root of another degree as a power 1/n")
        inside = self.within(self.group())
        return Piece(f"sqrt({inside.python})", "√" + inside.shown(ATOM), names=inside.names)

    def brackets(self) -> Piece:
        """( ), tuples and sets, | |, ‖ ‖, ⟨ ⟩, ⌊ ⌋, ⌈ ⌉, and [condition], which is 1 or 0."""
        left = self.peek()
        if left == r"\{":
            return self.collection()
        self.take()
        if left == "[":
            inside = self.condition()
            self.take("]")
            return Piece(f"int({inside.python})", f"[{inside.text}]", names=inside.names)
        parts = [self.sum()]
        while left in ("(", r"\langle") and self.accept(","):
            parts.append(self.sum())
        self.take(BRACKETS[left])
        python, text, names = ", ".join(p.python for p in parts), ", ".join(p.text for p in parts), names_of(*parts)
        if left == "(":
            return Piece(f"({python})", f"({text})", names=names) if len(parts) > 1 else parts[0]
        if left in (r"\|", r"\lVert"):
            p = self.within(self.group()) if self.accept("_") else Piece("None", "")
            return Piece(f"norm({python}, {p.python})", f"‖{text}‖{lowered(p.text) or p.text}", names=names | p.names)
        function, opening, closing = MEANINGS[left]
        return Piece(f"{function}({python})", f"{opening}{text}{closing}", names=names)

    def collection(self) -> Piece:
        r"""\{ a_i \}_{i=1}^{N}: the a_i in a row."""
        self.take(r"\{")
        start, depth = self.at, 1
        while depth:
            depth += {r"\{": 1, r"\}": -1}.get(self.take(r"\}" if self.at >= len(self.tokens) else "").text, 0)
        inside = self.tokens[start : self.at - 1]
        index, where, shown, names = self.bounds()
        member = self.scoped(index, lambda: self.within(inside))
        return Piece(f"[{member.python} for {index} in {where}]", f"{{{member.text}}}{shown}", names=member.names | names)

    def big(self) -> Piece:
        r"""\sum, \prod, \max or \min over an index, of the rest of the product; \max(a, b)."""
        function, sign = BIG[self.take().text]
        if self.peek() in ("(", r"\{"):
            return self.powers(called(function, sign, *self.arguments()))
        index, where, shown, names = self.bounds()
        body = self.scoped(index, self.product)
        text, found = f"{sign}{shown} {body.shown(PRODUCT)}", (body.names | names) - {index}
        same = isinstance(body, Loop) and body.function == function  # Σᵢ Σⱼ is one sum over i and j
        core, over = (body.core, body.over) if isinstance(body, Loop) and same else (body.python, "")
        over = f"for {index} in {where} {over}".strip()
        return Loop(f"{function}({core} {over})", text, ATOM, PRODUCT, found, function, core, over)

    def scoped(self, index: str, read: Callable[[], Piece]) -> Piece:
        """What is read while the index is bound."""
        if index in self.names or index in self.bound:
            raise UnreadableError(
                f"the index {index} is the name of {'a symbol' if index in self.names else 'another index'} too"
            )
        self.bound.append(index)
        found = read()
        self.bound.remove(index)
        return found

    def bounds(self) -> tuple[str, str, str, frozenset[str]]:
        r"""_{j=1}^{n}, _{1 \le j \le n}, _{0 \le j < n} or _{i \in B}: the index, what it runs over, how that is shown, its symbols."""
        self.take("_")
        part = self.part(self.group())
        if len(part.tokens) == 1:
            raise UnreadableError(f"what {part.peek()} runs over is not said: write {part.peek()}=1 below and n above")
        if part.peek(1) == r"\in":
            index, over = part.index(r"\in"), part.sum()
            part.end()
            return index, over.python, f"_{{{index} ∈ {over.text}}}", over.names
        if part.peek(1) == "=":
            index, low = part.index("="), part.sum()
            self.take("^")
            high, strict = self.within(self.group()), False
        else:
            low = part.sum()
            part.take(r"\le")
            index = part.index(part.peek(1))
            strict = part.tokens[part.at - 1].text == "<"
            if part.tokens[part.at - 1].text not in ("<", r"\le"):
                raise part.refusal(r"an index runs over low \le j \le high")
            high = part.sum()
        part.end()
        where = f"span({low.python}, {high.inside(PRODUCT) + ' - 1' if strict else high.python})"
        return index, where, lowered(index) or f"_{index}", names_of(low, high)

    def index(self, relation: str) -> str:
        """The name of an index, and the relation behind it."""
        found = self.name()
        self.take(relation)
        return found

    def condition(self) -> Piece:
        """a = b, a < b ≤ c …, joined by \\land or \\lor."""
        found = [self.relation()]
        while self.peek() in (r"\land", r"\lor"):
            word = "and" if self.take().text == r"\land" else "or"
            found += [Piece(word, word), self.relation()]
        python, text = " ".join(p.python for p in found), " ".join(p.text for p in found)
        return Piece(python, text, CONDITION, CONDITION, names_of(*found))

    def relation(self) -> Piece:
        """a = b, a < b ≤ c …"""
        a = self.sum()
        python, text, names = a.inside(SUM), a.text, a.names
        while self.peek() in RELATIONS:
            sign = RELATIONS[self.take().text]
            b = self.sum()
            python, text, names = (
                f"{python} {sign} {b.inside(SUM)}",
                f"{text} {SIGNS.get(sign, sign)} {b.text}",
                names | b.names,
            )
        if python == a.inside(SUM):
            raise self.refusal("a condition needs =, <, …")
        return Piece(python, text, CONDITION, CONDITION, names)

    def cases(self) -> Piece:
        r"""\begin{cases} a & condition \\ b & \text{otherwise} \end{cases}"""
        self.take(r"\begin")
        if plain(self.group()) != "cases":
            raise self.refusal("only cases are read")
        python, text, pieces = "", "", []
        while True:
            value = self.sum()
            self.accept(",")
            self.take("&")
            word = plain(self.group()) if self.accept(r"\text") else ""
            if word == "otherwise":
                self.take(r"\end")
                if plain(self.group()) != "cases":
                    raise self.refusal("cases end with \\end{cases}")
                pieces.append(value)
                return Piece(f"({python}{value.inside(SUM)})", f"{text}else {value.text}", ATOM, CONDITION, names_of(*pieces))
            if word not in ("", "if"):
                raise self.refusal(r"a case is a condition, \text{if } and a condition, or \text{otherwise}, the last")
            condition = self.condition()
            self.take("\\\\")
            python += f"{value.inside(SUM)} if {condition.python} else "
            text += f"{value.text} where {condition.text}, "
            pieces += [value, condition]
