"""A part of a formula that has been read: as an expression of Python over single numbers, and as text for a terminal."""

from collections.abc import Sequence
from dataclasses import dataclass

CONDITION, SUM, PRODUCT, POWER, ATOM = range(5)  # how strongly a piece holds together

LOWER = dict(zip("0123456789aehijklmnoprstuvxβγρφχ+-()", "₀₁₂₃₄₅₆₇₈₉ₐₑₕᵢⱼₖₗₘₙₒₚᵣₛₜᵤᵥₓᵦᵧᵨᵩᵪ₊₋₍₎", strict=True))
UPPER = dict(zip("0123456789abcdefghijklmnoprstuvwxyzT+−()", "⁰¹²³⁴⁵⁶⁷⁸⁹ᵃᵇᶜᵈᵉᶠᵍʰⁱʲᵏˡᵐⁿᵒᵖʳˢᵗᵘᵛʷˣʸᶻᵀ⁺⁻⁽⁾", strict=True))

SQUARES = {"σ2"}  # σ² is a symbol of its own, no power


@dataclass(frozen=True)
class Piece:
    """`python` and `text`, how strongly each holds together, and the symbols in it that nothing binds."""

    python: str
    text: str
    level: int = ATOM
    text_level: int = ATOM
    names: frozenset[str] = frozenset()

    def inside(self, level: int) -> str:
        """The Python, in brackets where it holds less strongly than this."""
        return self.python if self.level >= level else f"({self.python})"

    def shown(self, level: int) -> str:
        """The text, likewise."""
        return self.text if self.text_level >= level else f"({self.text})"


@dataclass(frozen=True)
class Loop(Piece):
    """A sum, product, maximum or minimum: its function, what it is of, and over what."""

    function: str = ""
    core: str = ""
    over: str = ""


def names_of(*pieces: Piece) -> frozenset[str]:
    """The symbols of all of them."""
    return frozenset().union(*(p.names for p in pieces))


def lowered(text: str) -> str | None:
    """The text as a subscript, where all its signs have one."""
    return "".join(map(LOWER.__getitem__, text)) if text and set(text) <= set(LOWER) else None


def raised(text: str) -> str:
    """The text as a superscript."""
    if set(text) <= set(UPPER):
        return "".join(map(UPPER.__getitem__, text))
    return f"^{text}" if len(text) == 1 else f"^{{{text}}}"


def symbol_text(name: str) -> str:
    """A symbol as it is shown: β1 as β₁, σ2 as σ², θʹ as θ′."""
    if name in SQUARES:
        return name[0] + "²"
    stem = name.rstrip("0123456789")
    return stem.replace("ʹ", "′") + (lowered(name[len(stem) :]) or "")


def indexed(base: Piece, indices: Sequence[Piece], call: bool = False) -> Piece:
    """base[i, j]; where the base is defined by a statement with these as parameters, base(i, j)."""
    inner = ", ".join(i.python for i in indices)
    if not indices:
        return Piece(f"{base.python}()", base.text, names=base.names) if call else base
    low = [lowered(i.text) for i in indices]
    text = "".join(s for s in low if s) if None not in low and all(len(i.text) <= 2 for i in indices) else None
    if text is None:
        text = f"[{(', ' if any(' ' in i.text for i in indices) else ',').join(i.text for i in indices)}]"
    python = f"{base.inside(ATOM)}({inner})" if call else f"{base.inside(ATOM)}[{inner}]"
    return Piece(python, base.shown(ATOM) + text, names=names_of(base, *indices))


def added(terms: Sequence[tuple[str, Piece]]) -> Piece:
    """± a ± b …"""
    if len(terms) == 1 and terms[0][0] == "+":
        return terms[0][1]
    python = "".join(f" {s} {p.inside(PRODUCT)}" for s, p in terms)
    text = "".join(f" {'−' if s == '-' else s} {p.shown(PRODUCT)}" for s, p in terms)
    if terms[0][0] == "-":
        python, text = "-" + python[3:], "−" + text[3:]
    else:
        python, text = python[3:], text[3:]
    return Piece(python, text, SUM, SUM, names_of(*(p for _, p in terms)))


def multiplied(factors: Sequence[tuple[str, Piece]]) -> Piece:
    """a b / c …, each factor with the sign before it: "*", "/" or "%"."""
    (_, first), *others = factors
    if not others:
        return first
    python, text, before = first.inside(PRODUCT), first.shown(PRODUCT if quotient(first) else POWER), first
    for sign, p in others:
        python += f" {sign} {p.inside(POWER)}"
        shown = p.shown(PRODUCT if sign == "*" and (quotient(p) or p is others[-1][1]) else POWER)
        text += between(sign, before, shown) + shown
        before = p
    return Piece(python, text, PRODUCT, PRODUCT, names_of(*(p for _, p in factors)))


def quotient(p: Piece) -> bool:
    """Whether it is shown as a / b."""
    return p.text_level == PRODUCT and " / " in p.text


def between(sign: str, before: Piece, shown: str) -> str:
    """What is shown between two factors: a space is enough where nothing can be misread."""
    if sign == "*":
        return " · " if shown[0].isdigit() or quotient(before) else " "
    if sign == "/":
        return "/" if len(before.text) < 3 > len(shown) else " / "
    return " mod "


def fraction(a: Piece, b: Piece) -> Piece:
    """a / b; tight, as 1/n, where both are short."""
    tight = len(a.shown(POWER)) <= 2 and len(b.shown(POWER)) <= 4
    text = f"{a.shown(POWER)}/{b.shown(POWER)}" if tight else f"{a.shown(PRODUCT)} / {b.shown(POWER)}"
    return Piece(f"{a.inside(PRODUCT)} / {b.inside(POWER)}", text, PRODUCT, POWER if tight else PRODUCT, names_of(a, b))


def power(a: Piece, b: Piece) -> Piece:
    """a^b"""
    return Piece(f"{a.inside(ATOM)} ** {b.inside(ATOM)}", a.shown(ATOM) + raised(b.text), POWER, ATOM, names_of(a, b))


def called(function: str, shown: str, args: Sequence[Piece], text: str = "") -> Piece:
    """f(a, b)"""
    python, text = ", ".join(p.python for p in args), text or ", ".join(p.text for p in args)
    return Piece(f"{function}({python})", f"{shown}({text})", names=names_of(*args))


def bare(function: str, shown: str, arg: Piece) -> Piece:
    """ln x, shown without brackets where it can be."""
    text = f"{shown} {arg.text}" if arg.text_level == ATOM else f"{shown}({arg.text})"
    return Piece(f"{function}({arg.python})", text, ATOM, POWER, arg.names)
