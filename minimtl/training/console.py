"""What a run prints: progress, and text that every console can show."""

import sys
import unicodedata
from collections.abc import Iterable
from typing import Any

SIGNS = {
    "Σ": "sum", "∂": "d", "·": "*", "×": "x", "−": "-", "–": "-", "…": "...", "→": "->", "←": "<-", "≤": "<=", "≥": ">=",
    "≠": "!=", "√": "sqrt", "∈": "in", "±": "+-", "∞": "inf", "²": "^2", "‖": "||", "§": "sec. ", "′": "'",
    "⌊": "floor(", "⌋": ")", "⌈": "ceil(", "⌉": ")", "∼": "~", "⟨": "<", "⟩": ">", "Π": "prod",
}  # fmt: skip


def ascii_sign(sign: str) -> str:
    """A sign in ASCII: by the table, α as "alpha", ₖ as "_k", x̂ as "x^", anything else as "?"."""
    if sign.isascii() or sign in SIGNS:
        return SIGNS.get(sign, sign)
    name, parts = unicodedata.name(sign, ""), unicodedata.decomposition(sign).split()
    if name.startswith("GREEK"):
        letter = name.split()[-1].lower()
        return letter if "SMALL" in name or "SYMBOL" in name else letter.capitalize()
    if parts and parts[0] in ("<sub>", "<super>"):
        return {"<sub>": "_", "<super>": "^"}[parts[0]] + "".join(ascii_sign(chr(int(p, 16))) for p in parts[1:])
    if parts and not parts[0].startswith("<"):  # a letter and its hat
        return "".join(ascii_sign(chr(int(p, 16))) for p in parts)
    return "^" if unicodedata.combining(sign) else "?"


def readable(text: str, encoding: str) -> str:
    """The text, each sign that the encoding lacks spelt in ASCII."""

    def known(sign: str) -> bool:
        try:
            sign.encode(encoding)
        except UnicodeEncodeError:
            return False
        return True

    return "".join(sign if known(sign) else ascii_sign(sign) for sign in text)


def say(text: str) -> None:
    """Print the text at once, as the console can show it."""
    print(readable(text, sys.stdout.encoding or "ascii"), flush=True)


def progress(items: Iterable[Any], label: str, show: bool = True) -> Iterable[Any]:
    """The items, with a progress bar on standard error while they are used; without one where that is no terminal."""
    if not show or not sys.stderr.isatty():
        return items
    from tqdm import tqdm

    return tqdm(items, desc=label, leave=False, ascii=readable("█", sys.stderr.encoding or "ascii") != "█")
