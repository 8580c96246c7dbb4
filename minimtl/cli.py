"""The command line: `minimtl equations` lists the map from formulas to code, `minimtl equations ID` shows one and checks it."""

import argparse
import os
import secrets
import sys
from collections.abc import Sequence
from shutil import get_terminal_size
from unicodedata import combining

from minimtl.training import say
from minimtl.training.console import readable


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; 0 where all is well, 1 where a check fails, 2 where the arguments make no sense."""
    parser = argparse.ArgumentParser(prog="minimtl", description="Multi-task and transfer learning from scratch.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    map_of = commands.add_parser("equations", help="list the equations; with an ID show one, its code, and check it now")
    map_of.add_argument("id", nargs="?", metavar="ID", help="an id, or how several of them begin")
    map_of.add_argument("--draws", type=int, default=20, help="how many random draws to check on (20)")
    map_of.add_argument("--seed", type=int, help="the seed of the draws; another one each time unless given")
    given = parser.parse_args(arguments)
    if given.draws < 1 or (given.seed is not None and given.seed < 0):
        parser.error("--draws must be at least 1, and --seed not negative")
    seed = secrets.randbelow(10**6) if given.seed is None else given.seed
    try:
        return show(given.id or "", given.draws, seed)
    except BrokenPipeError:  # what reads the output has seen enough, as `| head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # Python flushes once more at the end
        return 0


def show(id: str, draws: int, seed: int) -> int:
    """Show one equation, or list those whose ids begin so."""
    from minimtl import equations  # loads everything, which no other command should wait for
    from minimtl.equations import listing

    known = {e.id: e for e in equations.all()}
    ids, wanted = list(known), id.lower()
    exact = [e for e in ids if e == id] or [e for e in ids if e.lower() == wanted]
    if exact:
        text, holds = listing.full(known[exact[0]], draws, seed)
        derivatives = [e for e in ids if e.startswith(f"{exact[0]}.vjp")]
        say(text + f"\n\nderivatives: {', '.join(derivatives)}" * bool(derivatives))
        return 0 if holds else 1
    found = [e for e in ids if e.lower().startswith(wanted)] or [e for e in ids if wanted in e.lower()]
    if found:
        say(table(found))
        return 0
    try:
        equations.check(id)
    except KeyError as error:
        say(f"minimtl equations: {error.args[0]}")
    return 2


def table(ids: Sequence[str]) -> str:
    """The equations by section, a line each: id, formula, how it is checked."""
    from minimtl.equations import listing
    from minimtl.equations.checking import checks

    lines, wanted, encoding = [], set(ids), sys.stdout.encoding or "ascii"
    left = max(map(len, ids)) + 2
    room = max(get_terminal_size((120, 24)).columns, 80) - left - 12
    for heading, members in listing.sections():
        rows = [e for e in members if e.id in wanted]
        lines += [f"\n{heading}"] * bool(rows)
        lines += [f"  {e.id:{left}}{cut(readable(';  '.join(listing.shown(e)), encoding), room)} {e.status}" for e in rows]
    found = [checks[id] for id in ids]
    evaluated, wrong = sum(c.status == "evaluated" for c in found), sum(len(c.controls()) for c in found)
    lines.append(
        f"\n{len(ids)} equations: {evaluated} evaluated from their LaTeX, {len(ids) - evaluated} checked by a property;"
    )
    lines.append(f"{wrong} wrong ones must be noticed. minimtl equations ID shows one and checks it now.")
    return "\n".join(lines).lstrip("\n")


def cut(text: str, room: int) -> str:
    """The text, filled up or cut to so many places; a hat takes none."""
    hats = sum(map(bool, map(combining, text)))
    return text.ljust(room + hats) if len(text) - hats <= room else text[: room + hats - 1] + "…"
