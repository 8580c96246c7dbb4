r"""A reader of restricted LaTeX: what one statement of a formula says, as Python over single numbers and as text.

    sum        ± product ± product …
    product    factors side by side, \cdot, \times, /, \bmod; \sum, \prod and \max take the rest of the product
    factor     a symbol, a number, \frac, \sqrt, \ln x …, ( ), | |, \lVert \rVert, \langle \rangle, \lfloor \rfloor, \lceil \rceil,
               [condition], which is 1 or 0, \begin{cases}; then indices _ and powers ^

A symbol that touches a bracket, f(x), is a function of what stands in it; with a space between, y \,(a + b), the two are multiplied.
A subscript is an index, or several side by side as in x_{ki}, unless the symbol with it is declared, as β1 is for \beta_1.
Everything else is refused by name: nothing is guessed.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from unicodedata import normalize

from minimtl.equations.piece import (
    ATOM,
    CONDITION,
    PRODUCT,
    SUM,
    Loop,
    Piece,
    added,
    bare,
    called,
    fraction,
    indexed,
    lowered,
    multiplied,
    names_of,
    power,
    raised,
    symbol_text,
)  # fmt: skip
from minimtl.equations.tokens import ACCENTS, PRIME, Token, UnreadableError, letter, plain

FUNCTIONS = {r"\exp": "exp", r"\ln": "log", r"\log": "log", r"\tanh": "tanh", r"\sin": "sin", r"\cos": "cos"}
NAMED = {"erf", "sign"}  # \mathrm{erf}, \mathrm{sign}
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


class Reader:
    """Reads tokens. `names` are the symbols declared, `defined` those that other statements define, with how many parameters.

    `bound` are letters that run over something, `applied` is filled with the symbols that are used as functions. With `anything`
    every letter is a symbol: so the left of a statement is read.
    """

    def __init__(
        self,
        tokens: Sequence[Token],
        names: Collection[str] = (),
        defined: "Mapping[str, tuple[int, str]] | None" = None,
        bound: Collection[str] = (),
        anything: bool = False,
        applied: "set[str] | None" = None,
    ) -> None:
        self.tokens, self.names, self.defined, self.at = tokens, names, defined or {}, 0
        self.bound, self.anything = list(bound), anything
        self.applied: set[str] = set() if applied is None else applied

    # Moving on

    def peek(self, ahead: int = 0) -> str:
        """The next token, "" at the end."""
        return self.tokens[self.at + ahead].text if self.at + ahead < len(self.tokens) else ""

    def take(self, wanted: str = "") -> Token:
        """The next token, which must be the wanted one."""
        if self.at >= len(self.tokens):
            raise UnreadableError(f"the formula ends where {wanted or 'more'} is needed")
        if wanted and self.peek() != wanted:
            raise self.refusal(f"{wanted} is needed")
        self.at += 1
        return self.tokens[self.at - 1]

    def accept(self, *wanted: str) -> bool:
        """Whether one of these is next; it is taken."""
        found = self.peek() in wanted and self.peek() != ""
        self.at += found
        return found

    def refusal(self, why: str = "is not read") -> UnreadableError:
        """An error that names the next token."""
        return UnreadableError(f"cannot read {self.peek() or 'the end'}: {why}")

    def group(self) -> list[Token]:
        """The tokens of { … }, or a single one."""
        if not self.accept("{"):
            return [self.take()]
        start, depth = self.at, 1
        while depth:
            depth += {"{": 1, "}": -1}.get(self.take("}" if self.at >= len(self.tokens) else "").text, 0)
        return list(self.tokens[start : self.at - 1])

    def part(self, tokens: Sequence[Token]) -> "Reader":
        """A reader of these tokens that knows what this one knows."""
        return Reader(tokens, self.names, self.defined, self.bound, self.anything, self.applied)

    def whole(self, read: "Callable[[Reader], Piece] | None" = None) -> Piece:
        """What is read of all tokens."""
        found = (read or Reader.sum)(self)
        self.end()
        return found

    def within(self, tokens: Sequence[Token]) -> Piece:
        """What is read of all these tokens."""
        return self.part(tokens).whole()

    def end(self) -> None:
        """Nothing is left."""
        if self.at < len(self.tokens):
            raise self.refusal()

    # The grammar

    def objective(self) -> Piece:
        r"""\min_{θ} sum: the sum, shown with what is asked of it."""
        if (
            self.peek() != r"\min"
            or self.peek(1) != "_"
            or any(t.text in RELATIONS for t in self.tokens[self.at : self.at + 6])
        ):
            return self.sum()
        self.take()
        self.take()
        over, found = self.subscript(self.group()), self.sum()
        return Piece(
            found.python, f"min_{', '.join(p.text for p in over)} {found.text}", found.level, SUM, found.names | names_of(*over)
        )

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
                factors.append(("*", self.factor()))
            else:
                return multiplied(factors)

    def starts(self) -> bool:
        """Whether a factor is next."""
        t = self.peek()
        opens = t in BRACKETS and t not in ("|", r"\|")
        known = t in BIG or t in FUNCTIONS or t in ACCENTS or t in (r"\frac", r"\sqrt", r"\infty", r"\begin", r"\Delta")
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
            return self.powers(Piece(self.take().text, t))
        if t in BRACKETS:
            return self.powers(self.brackets())
        if letter(t) is not None or t in ACCENTS:
            return self.symbol()
        raise self.refusal()

    def symbol(self) -> Piece:
        """A symbol, a function applied, or the numbers e and π."""
        name = self.name()
        if name in NAMED and name not in self.names:
            return self.function(name, name)
        if name == "e" and name not in self.names and self.peek() == "^":
            self.take()
            exponent = self.within(self.group())
            return Piece(f"exp({exponent.python})", power(Piece("e", "e"), exponent).text, names=exponent.names)
        if name == "π" and name not in self.names:
            return self.powers(Piece("pi", "π"))
        shown = symbol_text(name)
        while longer := self.labelled(name, shown):
            name, shown = longer
        if not self.anything and name not in (*self.names, *self.defined, *self.bound):
            raise UnreadableError(f"the symbol {symbol_text(name)} is not declared")
        return self.indices(Piece(name, shown, names=frozenset([name] if name not in self.bound else [])))

    def name(self) -> str:
        """A letter, with its accent and primes; a word in \\mathrm{…}."""
        accent = ACCENTS.get(self.peek())
        if accent is None:
            found = letter(self.take().text)
        else:
            self.take()
            found = plain(self.group()) + accent
        if not found:
            raise self.refusal("a symbol is needed")
        while self.accept("'", r"\prime"):
            found += PRIME
        return normalize("NFKC", found)

    def labelled(self, name: str, shown: str = "") -> tuple[str, str] | None:
        """The name with the label that follows, β1 for \\beta_1, if that is declared; None where an index or a power follows."""
        start, sign = self.at, self.peek()
        if not self.accept("_", "^"):
            return None
        label = plain(self.group())
        longer = normalize("NFKC", name + label)
        if label and longer in (*self.names, *self.defined):
            return longer, shown + raised(label) if sign == "^" else symbol_text(longer)
        self.at = start
        return None

    def indices(self, base: Piece) -> Piece:
        """Indices after a symbol, then what it is applied to, then powers."""
        found: list[Piece] = []
        while True:
            if self.accept("_"):
                found += self.subscript(self.group())
            elif self.peek() == "^" and self.peek(1) == "{" and self.peek(2) == "(":
                self.take()
                found += [self.within(self.group()[1:-1])]
            else:
                break
        arity = self.defined[base.python][0] if base.python in self.defined else None
        applied = self.peek() == "(" and self.tokens[self.at].touches
        if arity is not None and arity != len(found) and not (applied and not found):
            raise UnreadableError(f"{base.text} is defined with {arity} indices and read with {len(found)}")
        if applied:
            f = indexed(base, found)
            self.applied |= {base.python} - set(self.defined)
            whole = called(f.python, f.text, *self.arguments())
            return self.powers(Piece(whole.python, whole.text, names=whole.names | f.names))
        return self.powers(indexed(base, found, call=arity is not None))

    def subscript(self, group: Sequence[Token]) -> list[Piece]:
        """The indices of a subscript: parts between commas, or letters side by side."""
        if len(group) > 1 and all(letter(t.text) is not None for t in group):
            return [self.within([t]) for t in group]
        parts: list[list[Token]] = [[]]
        depth = 0
        for t in group:
            depth += (t.text in ("{", "(")) - (t.text in ("}", ")"))
            if t.text == "," and depth == 0:
                parts.append([])
            else:
                parts[-1].append(t)
        return [self.within(part) for part in parts]

    def arguments(self) -> tuple[list[Piece], str]:
        """( a; b, c ): the arguments, and how they are shown."""
        self.take("(")
        found = [self.sum()]
        text = found[0].text
        while self.peek() in (",", ";"):
            text += f"{self.take().text} "
            found.append(self.sum())
            text += found[-1].text
        self.take(")")
        return found, text

    def powers(self, base: Piece) -> Piece:
        """Indices of a bracket, transposes and powers."""
        while self.peek() in ("^", "_"):
            if self.take().text == "_":
                base = indexed(base, self.subscript(self.group()), False)
                continue
            group = self.group()
            if [t.text for t in group] == [r"\top"]:
                base = Piece(f"{base.inside(ATOM)}.T", base.shown(ATOM) + "ᵀ", names=base.names)
            else:
                base = power(base, self.within(group))
        return base

    def function(self, name: str, shown: str) -> Piece:
        """\\ln x, \\exp(x), with the one factor that follows; \\tanh^2 is refused."""
        if self.peek() in ("^", "_"):
            raise self.refusal(f"write the power of {shown} behind its argument")
        return bare(name, shown, self.factor())

    def root(self) -> Piece:
        """\\sqrt{a}, \\sqrt[n]{a}"""
        self.take(r"\sqrt")
        if self.peek() == "[":
            raise self.refusal("write a root of another degree as a power 1/n")
        inside = self.within(self.group())
        return Piece(f"sqrt({inside.python})", "√" + inside.shown(ATOM), names=inside.names)

    def derivative(self) -> bool:
        """Whether \\frac{\\partial … is next."""
        return [self.peek(i) for i in range(3)] == [r"\frac", "{", r"\partial"]

    def derivative_or_fraction(self) -> Piece:
        """a / b; \\frac{\\partial L}{\\partial x_i} is one symbol, dL_dx, with the index i."""
        if not self.derivative():
            self.take(r"\frac")
            a, b = (self.within(self.group()) for _ in range(2))
            return self.powers(fraction(a, b))
        name, shown, above, below = self.slope()
        if not self.anything and name not in (*self.names, *self.defined):
            raise UnreadableError(f"the derivative {shown} is not declared")
        base = Piece(name, shown, names=frozenset([name]))
        return Piece(indexed(base, above + below).python, indexed(base, below).text, names=names_of(base, *above, *below))

    def slope(self) -> tuple[str, str, list[Piece], list[Piece]]:
        r"""\frac{\partial L_k}{\partial x_i}: its name, dLk_dx, how it is shown, the indices above and below."""
        self.take(r"\frac")
        ends = []
        for _ in range(2):
            part = self.part(self.group())
            part.take(r"\partial")
            name = part.name()
            while longer := part.labelled(name):
                name, _ = longer
            found = part.subscript(part.group()) if part.accept("_") else []
            part.end()
            ends.append((name, found))
        (L, above), (x, below) = ends
        shown = f"∂{indexed(Piece(L, symbol_text(L)), above).text}/∂{symbol_text(x)}"
        return f"d{L}{''.join(i.python for i in above)}_d{x}", shown, above, below

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
            p = self.within(self.group()) if self.accept("_") else Piece("2", "")
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
        if self.peek() == "(":
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
        if index in self.names:
            raise UnreadableError(f"the index {index} is the name of a symbol too")
        self.bound.append(index)
        found = read()
        self.bound.remove(index)
        return found

    def bounds(self) -> tuple[str, str, str, frozenset[str]]:
        r"""_{j=1}^{n}, _{1 \le j \le n}, _{0 \le j < n} or _{i \in B}: the index, what it runs over, how that is shown, its symbols."""
        self.take("_")
        part = self.part(self.group())
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
            self.take("&")
            if self.peek() == r"\text":
                self.take()
                if plain(self.group()) != "otherwise":
                    raise self.refusal(r"the last case is \text{otherwise}")
                self.take(r"\end")
                self.group()
                pieces.append(value)
                return Piece(f"({python}{value.inside(SUM)})", f"{text}else {value.text}", ATOM, CONDITION, names_of(*pieces))
            if self.peek() == r"\text":
                raise self.refusal(r"\text{otherwise} is the last case")
            condition = self.condition()
            self.take("\\\\")
            python += f"{value.inside(SUM)} if {condition.python} else "
            text += f"{value.text} where {condition.text}, "
            pieces += [value, condition]
