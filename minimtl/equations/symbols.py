r"""Symbols, with what hangs on them: accents, labels, indices, arguments, powers; and derivatives, which are symbols too.

A symbol that touches a bracket, f(x), is a function of what stands in it. A subscript is an index, or several side by side as in
x_{ki}, unless the symbol with it is declared, as β1 is for \beta_1.
"""

from abc import abstractmethod
from collections.abc import Sequence
from itertools import pairwise
from unicodedata import normalize

from minimtl.equations.cursor import Cursor
from minimtl.equations.piece import ATOM, SQUARES, Piece, bare, called, fraction, indexed, names_of, power, raised, symbol_text
from minimtl.equations.tokens import ACCENTS, PRIME, Token, UnreadableError, letter, plain, safe

SIGNS = {"+", "-", "/", r"\cdot", r"\times", r"\bmod", r"\lfloor", r"\lceil"}
NAMED = {"erf", "sign"}  # \mathrm{erf}, \mathrm{sign}


class Symbols(Cursor):
    """Reads symbols."""

    @abstractmethod
    def factor(self) -> Piece:
        """One factor, with its indices and powers: read by the reader, of which this is a part."""

    def symbol(self) -> Piece:
        """A symbol, a function applied, or the numbers e and π."""
        name = self.name()
        meant = name in (*self.names, *self.defined, *self.bound)  # where not, e, π and a few words have a meaning of their own
        if name in NAMED and not meant:
            return self.function(name, name)
        if name == "e" and not meant and self.peek() == "^":
            self.take()
            exponent = self.within(self.group())
            return Piece(f"exp({exponent.python})", power(Piece("e", "e"), exponent).text, names=exponent.names)
        if name == "π" and not meant:
            return self.powers(Piece("pi", "π"))
        shown = symbol_text(name)
        if longer := self.labelled(name, shown):
            name, shown = longer
        if not self.anything and not meant and name not in (*self.names, *self.defined):
            raise UnreadableError(f"the symbol {symbol_text(name)} is not declared")
        return self.indices(name, Piece(safe(name), shown, names=frozenset([name] if name not in self.bound else [])))

    def name(self) -> str:
        """A letter, with its accent and primes; a word in \\mathrm{…}."""
        accent = ACCENTS.get(self.peek())
        if accent is None:
            found = letter(self.take().text)
        else:
            self.take()
            word = plain(self.group())
            found = word and word + accent
        if not found:
            raise self.refusal("a symbol is needed")
        while self.accept("'", r"\prime"):
            found += PRIME
        return normalize("NFKC", found)

    def labelled(self, name: str, shown: str = "") -> tuple[str, str] | None:
        """The name with the label that follows, β1 for \\beta_1, if that is declared; None where an index or a power follows.

        A label above is a word, or the 2 of σ², which is a symbol of its own.
        """
        start, sign = self.at, self.peek()
        if not self.accept("_", "^"):
            return None
        group = self.group()
        label, word = plain(group), bool(group) and group[0].text == r"\mathrm"
        longer, known = normalize("NFKC", name + label), (*self.names, *self.defined)
        if label and longer in known and (sign == "_" or word or longer in SQUARES):
            if name in known and not word:
                raise UnreadableError(
                    f"{symbol_text(name)} is declared, and {symbol_text(longer)} too: which is meant is not clear"
                )
            return longer, shown + raised(label) if sign == "^" else symbol_text(longer)
        self.at = start
        return None

    def indices(self, name: str, base: Piece) -> Piece:
        """Indices after a symbol, then what it is applied to, then powers."""
        found: list[Piece] = []
        if self.accept("_"):
            found = self.subscript(self.group())
        above = [self.peek(i) for i in range(3)] == ["^", "{", "("]  # x^{(i)}
        if above and found:
            raise self.refusal(f"{base.text} has an index below and one above: write both below")
        if above:
            self.take()
            found = [self.part(self.group()).whole(Symbols.raised_index)]
        arity = self.defined[name][0] if name in self.defined else None
        applied = self.peek() == "(" and self.tokens[self.at].touches
        if arity is not None and arity != len(found) and not (applied and not found):
            raise UnreadableError(f"{base.text} is defined with {arity} indices and read with {len(found)}")
        if applied:
            f = indexed(base, found)
            self.applied |= {name} - set(self.defined)
            whole = called(f.python, f.text, *self.arguments())
            return self.powers(Piece(whole.python, whole.text, names=whole.names | f.names))
        return self.powers(indexed(base, found, call=arity is not None))

    def raised_index(self) -> Piece:
        """(i)"""
        self.take("(")
        found = self.sum()
        self.take(")")
        return found

    def subscript(self, group: Sequence[Token]) -> list[Piece]:
        """The indices of a subscript: parts between commas, or letters side by side."""
        if len(group) > 1 and all(letter(t.text) is not None for t in group):
            return [self.within([t]) for t in group]
        if len(group) > 1 and all(letter(t.text) is not None or t.text.isdigit() for t in group):
            raise UnreadableError(f"in the subscript {''.join(t.text for t in group)} a comma or a sign is missing")
        parts: list[list[Token]] = [[]]
        depth = 0
        for t in group:
            depth += (t.text in ("{", "(")) - (t.text in ("}", ")"))
            if t.text == "," and depth == 0:
                parts.append([])
            else:
                parts[-1].append(t)
        found = [self.within(part) for part in parts]
        for part, piece in zip(parts, found, strict=True):
            touching = any(b.touches and letter(a.text) and letter(b.text) for a, b in pairwise(part))
            if touching or (" * " in piece.python and not any(t.text in SIGNS for t in part)):
                raise UnreadableError(f"the subscript {''.join(t.text for t in group)} may be several indices, or a product")
        return found

    def arguments(self) -> tuple[list[Piece], str]:
        """( a; b, c ): the arguments, and how they are shown."""
        closing = {"(": ")", r"\{": r"\}"}[self.take().text]
        found = [self.sum()]
        text = found[0].text
        while self.peek() in (",", ";"):
            text += f"{self.take().text} "
            found.append(self.sum())
            text += found[-1].text
        self.take(closing)
        return found, text

    def powers(self, base: Piece, bracket: bool = False) -> Piece:
        """A transpose, a power, and of a bracket indices: each once."""
        if bracket and self.accept("_"):
            base = indexed(base, self.subscript(self.group()))
        if self.accept("^"):
            group = self.group()
            if [t.text for t in group] == [r"\top"]:
                if base.python[0].isdigit():
                    raise UnreadableError(f"{base.text} is a number, and has no transpose")
                base = Piece(f"{base.inside(ATOM)}.T", base.shown(ATOM) + "ᵀ", names=base.names)
                base = indexed(base, self.subscript(self.group())) if self.accept("_") else base
            else:
                base = power(base, self.within(group))
        if self.peek() in ("^", "_", "'"):
            raise self.refusal("a second index or power needs brackets")
        return base

    def function(self, name: str, shown: str) -> Piece:
        """\\ln x, \\ln(x y), of one factor or what stands in brackets; \\tanh^2 and \\ln a b are refused."""
        if self.peek() in ("^", "_"):
            raise self.refusal(f"write the power of {shown} behind its argument")
        if self.peek() == "(":
            args, text = self.arguments()
            if len(args) > 1:
                raise UnreadableError(f"{shown} is of one argument, and has {len(args)}")
            return self.powers(called(name, shown, args, text))
        found = bare(name, shown, self.factor())
        if self.starts() or self.peek() in ("/", r"\cdot", r"\times", r"\bmod"):
            raise self.refusal(f"where the argument of {shown} ends is not clear: write brackets")
        return found

    @abstractmethod
    def starts(self) -> bool:
        """Whether a factor is next: known to the reader, of which this is a part."""

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
            if longer := part.labelled(name):
                name, _ = longer
            found = part.subscript(part.group()) if part.accept("_") else []
            part.end()
            ends.append((name, found))
        (L, above), (x, below) = ends
        shown = f"∂{indexed(Piece(L, symbol_text(L)), above).text}/∂{symbol_text(x)}"
        return f"d{L}{''.join(i.python for i in above)}_d{x}", shown, above, below
