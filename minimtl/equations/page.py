"""`lessons/EQUATIONS.md`: every formula beside the lines that compute it. `python -m minimtl.equations.page FILE` writes it."""

import re
import sys
from pathlib import Path
from typing import Any

from minimtl.equation import Equation, lines_of, registry
from minimtl.equations import all as every
from minimtl.equations.checking import checks
from minimtl.equations.formula import parted
from minimtl.equations.listing import code, letters, sections
from minimtl.equations.tokens import tokens

LESSONS = Path(__file__).parents[2] / "lessons"
HEAD = """# Equations

Every formula of this project, beside the lines that compute it. What is printed here is what is tested: the LaTeX is read, evaluated by
loops over single numbers, and compared with the function on random numbers. Each formula is also broken on purpose, in every sign and
in other ways, and the check must notice. `minimtl equations ID` shows one with its literal reading and checks it now.

{count} equations; {properties} of them cannot be evaluated and is checked by a property instead. An id with `.vjp` (vector-Jacobian
product) is a derivative: how the gradient that comes in is carried back to an argument.
This page is generated: `python -m minimtl.equations.page lessons/EQUATIONS.md`.

The documents D0 … D4 are told in [DOCUMENTS.md](DOCUMENTS.md). Below each formula: its source, the shapes, what it leaves open, and
what the code calls a letter, where that is another name (x, y in `D`: `D` holds both).

{contents}

## Letters

The documents use the same letters for different things: T is the number of tasks in D1 and D3; t is the target in D0 and D3 but the
index of a task in D1; what is shared is φ in D0 and θ in D3, and θ in D3 §3.2 is what was pretrained. A dash: no such symbol there.

| quantity | D0 | D1 | D2 | D3 | here |
|---|---|---|---|---|---|
| number of tasks | K | T | n | T | K |
| index of a task | k | t | i | (i), raised | k (t in `mtl.weighted_loss`) |
| index of a sample, their number | i, Nₖ | – | – | – | i, Nₖ |
| data of task k | Dₖ = {{(xₖᵢ, yₖᵢ)}} | – | – | x⁽ⁱ⁾, y⁽ⁱ⁾ | Dₖ |
| shared parameters | φ | in θ | in θ | θ | φ |
| parameters of task k | θₖ | in θ | in θ | θ⁽ⁱ⁾ | θₖ |
| all parameters | φ, θ₁ … θ_K | θ | θ | θ, {{θ⁽ⁱ⁾}} | φ, θ |
| model of task k | fₖ(x; θₖ, φ) | – | – | f(x; θ, θ⁽ⁱ⁾) | fₖ(x; θₖ, φ) = θₖ(φ(x)) |
| loss of one sample | lₖ | – | – | – | lₖ |
| loss of task k | Lₖ, a sum | Lₜ, a mean in the listing | Lᵢ | L⁽ⁱ⁾ | Lₖ: a sum in `mtl.total_loss`, a mean in `mtl.Trainer` |
| weight of task k | 1 | αₜ | 1 | 1 | αₖ |
| penalty and its weight | – | – | λ R(θ) | – | λ R(θ) |
| source: data, parameters | Dₛ, θₛ | – | – | –, θ (pretrained) | Dₛ, θₛ |
| target: data, parameters | Dₜ, θₜ | – | – | (x⁽ᵗ⁾, y⁽ᵗ⁾), θ + θ′ | Dₜ, θₜ, or θ + θ′ in `tl.delta` |

In the engine's formulas x goes in and y comes out, w and b are weight and bias, and g or G, as the code names it, is ∂L/∂y, the
gradient that comes in; in optimisers g is ∂L/∂θ. [condition] is 1 where the condition holds, else 0. Indices count from 1 unless it
says from 0.

| letters | in layers |
|---|---|
| N, C, F, G, S | samples, channels of x, filters (channels of y), groups of channels, all axes behind the channels |
| H, W and h, v or w | rows and columns of the image x, and one of them |
| OH, OW and p, q | those of y |
| KH, KW and i, j | those of a window |
| SH, SW; PH, PW; DH, DW | strides; paddings; dilations |
| μ, σ², x̂, ε | mean, variance, what is left of x without them, a small number |

| letters | in optimisers, schedules, initialisers |
|---|---|
| θ, g, η, λ | a parameter, its gradient, learning rate, weight decay |
| μ, d, b | momentum, dampening, the momentum buffer |
| β₁, β₂, m, v, m̂, v̂ | decay rates, moments of the gradient, both corrected for their start at 0 |
| t, η₀ | the step, from 1, or in schedules the number of calls of `step()`, from 0; the first learning rate |
| u, z | numbers drawn from U(0, 1) and from N(0, 1) |

"""


def page() -> str:
    """The page, as Markdown with mathematics."""
    parts, contents, shown = [], [], set[Any]()
    for heading, members in sections():
        ids = " ".join(f"[`{e.id}`](#{anchor(e.id)})" for e in members if not e.forward)
        contents.append(f"- **[{heading}](#{anchor(heading)})** {ids}")
        parts.append(f"## {heading}\n")
        families: dict[Any, list[Equation]] = {}
        for e in members:
            families.setdefault((e.function, e.id.partition(".vjp")[0]), []).append(e)
        parts += [family(together, shown) for together in families.values()]
    known = every()
    properties = sum(e.status == "property" for e in known)
    return HEAD.format(count=len(known), properties=properties, contents="\n".join(contents)) + "\n" + "\n".join(parts)


def anchor(heading: str) -> str:
    """What GitHub calls a heading in links."""
    return re.sub(r"[^a-z0-9_ ]", "", heading.lower()).replace(" ", "-")


def family(members: list[Equation], shown: set[Any]) -> str:
    """A formula and its derivatives as far as one function computes them, then the lines of the function and of its helpers."""
    text, stated = "", set[str]()
    for e in members:
        text += formula(e, stated)
    for function in dict.fromkeys([e.function for e in members] + [h for e in members for h in e.helpers]):
        first = lines_of(function)[1]
        file = f"{function.__module__.replace('.', '/')}.py"
        link = f"[`{function.__qualname__}`](../{file}#L{first}) in `{file}`"
        text += f"{link}: above.\n\n" if function in shown else f"{link}:\n\n```python\n{code(function)}\n```\n\n"
        shown.add(function)
    return text


def formula(e: Equation, stated: set[str]) -> str:
    """One formula: what it is called, what it leaves open, where it is checked."""
    check = checks[e.id]
    named = letters(e)
    facts = [
        linked(e.source),
        e.own_shapes,
        "indices from 0" * (e.base == 0 and not e.forward),
        e.conventions,
        named and f"code: {named}",
    ]
    lines, again = displayed(e.latex, stated)
    facts += [f"{', '.join(again)} as above"] * bool(again)
    facts += [f"in lesson {', '.join(lessons)}" for lessons in [cited_by(e.id)] if lessons]
    checked = f"check: [{e.status}](../{check.file}#L{check.line})"
    return f"### `{e.id}`\n\n```math\n{lines}\n```\n\n{' · '.join(filter(None, [*facts, checked]))}\n\n"


def linked(source: str) -> str:
    """The source, the documents in it as links to what is told of them."""
    return re.sub(r"\bD([0-4])((?:-[a-c])?(?: §[\d.]+)?)", r"[D\1\2](DOCUMENTS.md#d\1)", source)


def cited_by(id: str) -> list[str]:
    """Links to the lessons that use an equation, but for the fourth, which lists them all."""
    texts = {path: path.read_text(encoding="utf-8") for path in LESSONS.glob("[0-9]*.py") if path.name[:2] != "04"}
    return [f"[{int(path.name[:2])}]({path.name})" for path, text in sorted(texts.items()) if f"`{id}`" in text]


def displayed(latex: str, stated: set[str]) -> tuple[str, list[str]]:
    """The LaTeX, a line for each statement, aligned at its sign; and the letters that a formula before it has defined alike."""
    parts = parted(tokens(latex))
    starts = [part[0].place for part in parts]
    lines = [latex[a:b].strip() for a, b in zip(starts, [*starts[1:], len(latex)], strict=True)]
    lines = [re.sub(r"[,\s]*(\\quad)?$", "", line).replace("} \\sum", "} \\, \\sum") for line in lines]
    again = [line for line in lines[1:] if line in stated]
    stated |= set(lines[1:])
    kept = [line for line in lines if line not in again]
    if len(kept) > 1:
        aligned = " \\\\\n".join(re.sub(r" (=|\\leftarrow|\\sim) ", r" &\1 ", line, count=1) for line in kept)
        return f"\\begin{{aligned}}\n{aligned}\n\\end{{aligned}}", [left_of(line) for line in again]
    return kept[0], [left_of(line) for line in again]


def left_of(line: str) -> str:
    """What a statement defines, as inline mathematics."""
    return f"${line.partition(' = ')[0]}$"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python -m minimtl.equations.page FILE")
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
    print(f"{len(registry)} equations in {sys.argv[1]}")
