"""LaTeX cut into tokens, and the names of symbols."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from keyword import kwlist
from unicodedata import decomposition, lookup, normalize

TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+(?:\.\d+)?|\.\d+|\s+|.", re.DOTALL)
SPACES = {r"\,", r"\;", r"\:", r"\!", r"\ ", r"\quad", r"\qquad"}
SILENT = {r"\left", r"\right", r"\displaystyle", r"\big", r"\Big"}
ACCENTS = {
    r"\hat": "\u0302",
    r"\bar": "\u0304",
    r"\tilde": "\u0303",
    r"\mathbf": "",
    r"\mathrm": "",
    r"\text": "",
    r"\mathcal": "",
}
LETTERS = {r"\ell": "l", r"\varepsilon": "ε", r"\varphi": "φ", r"\lambda": "λ", r"\Lambda": "Λ"}
PRIME = "ʹ"  # a letter to Python, where ′ is not


WORDS = {
    *kwlist, "sum", "max", "min", "abs", "int", "exp", "log", "tanh", "sin", "cos", "erf", "sqrt", "floor", "ceil", "prod", "pi",
    "inf", "sign", "span", "norm", "inner",
}  # fmt: skip


def safe(name: str) -> str:
    """A symbol as the program calls it, which has words of its own."""
    return f"{name}_" if name in WORDS else name


class UnreadableError(ValueError):
    """A formula that the reader does not read: it refuses rather than guess."""


@dataclass(frozen=True)
class Token:
    """A command, a letter, a number or a sign; whether it touches the one before, with no space between; where it stands."""

    text: str
    touches: bool
    place: int


def tokens(latex: str) -> list[Token]:
    """The formula as tokens, without spaces, but for \\quad, which separates statements."""
    found: list[Token] = []
    touches = False
    for match in TOKEN.finditer(latex):
        text = match.group()
        if text.isspace() or text in SPACES:
            touches = False
            if text in (r"\quad", r"\qquad") and found:
                found.append(Token(r"\quad", False, match.start()))
        elif text not in SILENT:
            found.append(Token(text, touches, match.start()))
            touches = True
    return found


def greek(command: str) -> str | None:
    """The letter of \\alpha, \\Phi …; None where the command is none."""
    if command in LETTERS:
        return LETTERS[command]
    name = command[1:]
    if not command.startswith("\\") or not name.isalpha() or name[1:] != name[1:].lower():
        return None
    try:
        letter = lookup(f"GREEK {'CAPITAL' if name[0].isupper() else 'SMALL'} LETTER {name.upper()}")
    except KeyError:
        return None
    return normalize("NFKC", letter)


def letter(text: str) -> str | None:
    """The letter that a token is, Latin or Greek; ⁿ and ₖ are none."""
    small = decomposition(text).startswith(("<super>", "<sub>")) if len(text) == 1 else False
    return normalize("NFKC", text) if len(text) == 1 and text.isalpha() and not small else greek(text)


def plain(group: Sequence[Token]) -> str:
    """A subscript as a label: its letters and digits in a row, "" where it holds anything else."""
    parts = ["" if t.text in (*ACCENTS, "{", "}") else t.text if t.text.isdigit() else letter(t.text) for t in group]
    return "" if None in parts else normalize("NFKC", "".join(filter(None, parts)))


def one_spelling(line: Sequence[Token]) -> None:
    """Refuse letters that would be one symbol and are written in two ways, as \\phi and \\varphi, or a and \\mathbf{a}."""
    spelt: dict[str, str] = {}
    i = 0
    while i < len(line):
        command = line[i].text if line[i].text in ACCENTS else ""
        i += bool(command)
        start = i + 1 if line[i : i + 1] and line[i].text == "{" and command else i
        stop = start + 1
        while start > i and stop < len(line) and line[stop].text != "}":
            stop += 1
        group = line[start:stop]
        i = stop + (start > i)
        found = letter(group[0].text) if len(group) == 1 else None
        if found is None or command in (r"\hat", r"\bar", r"\tilde"):
            continue  # a word, a sign, or another symbol
        spelling = f"{command}{{{group[0].text}}}" if command else group[0].text
        if spelt.setdefault(found, spelling) != spelling:
            raise UnreadableError(f"{spelt[found]} and {spelling} are one symbol, {found}, written in two ways")
