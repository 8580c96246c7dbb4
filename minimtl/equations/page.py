"""`lessons/EQUATIONS.md`: every formula beside the lines that compute it. `python -m minimtl.equations.page FILE` writes it."""

import re
import sys
from pathlib import Path
from typing import Any

from minimtl.equation import Equation, registry
from minimtl.equations import all as every
from minimtl.equations.checking import checks
from minimtl.equations.formula import parted
from minimtl.equations.listing import code, letters, sections
from minimtl.equations.tokens import tokens

HEAD = """# Equations

Every formula of this project, beside the lines that compute it. What is printed here is the test: the LaTeX is read, evaluated by loops
over single numbers, and compared with the function on random numbers; wrong formulas, each sign turned round among them, must be
noticed. `minimtl equations ID` shows one with its literal reading and checks it now.

{count} equations, {evaluated} of them evaluated from their LaTeX, the others checked by a property.
This page is generated: `python -m minimtl.equations.page lessons/EQUATIONS.md`.

The documents D0 … D4 are told in [DOCUMENTS.md](DOCUMENTS.md).

**Contents** {contents}

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

In the engine's formulas x goes in and y comes out; g or G is ∂L/∂y, the gradient that comes in, as the code below the formula names it;
w and b are weight and bias; N counts samples, C channels, H, W pixels, F filters of KH × KW, OH, OW the pixels of the result;
S strides, P paddings, D dilations; η is a learning rate. [condition] is 1 where the condition holds, else 0.
"""


def page() -> str:
    """The page, as Markdown with mathematics."""
    parts, contents = [], []
    for heading, members in sections():
        contents.append(f"[{heading}](#{re.sub(r'[^a-z0-9 ]', '', heading.lower()).replace(' ', '-')})")
        parts.append(f"\n## {heading}\n")
        together: dict[Any, list[Equation]] = {}
        for e in members:
            together.setdefault(e.function, []).append(e)
        parts += map(function, together.values())
    known = every()
    evaluated = sum(e.status == "evaluated" for e in known)
    return HEAD.format(count=len(known), evaluated=evaluated, contents=" · ".join(contents)) + "\n".join(parts)


def function(members: list[Equation]) -> str:
    """The equations of one function, and its lines."""
    first = members[0]
    return "\n".join(
        [*map(formula, members), f"[`{first.file}`](../{first.file}#L{first.line})\n", f"```python\n{code(first)}\n```\n"]
    )


def formula(e: Equation) -> str:
    """One formula: what it is called, what it leaves open, where it is checked."""
    check = checks[e.id]
    facts = [
        e.source,
        e.own_shapes,
        e.conventions,
        "; ".join(letters(e)),
        f"{e.status}: [check](../{check.file}#L{check.line})",
    ]
    return f"""### `{e.id}`

```math
{displayed(e.latex)}
```

{" · ".join(filter(None, facts))}
"""


def displayed(latex: str) -> str:
    """The LaTeX, a line for each statement where there are several."""
    parts = parted(tokens(latex))
    if len(parts) == 1:
        return latex
    starts = [part[0].place for part in parts]
    lines = [latex[a:b].strip() for a, b in zip(starts, [*starts[1:], len(latex)], strict=True)]
    lines = [re.sub(r"[,\s]*\\quad$", ",", line) for line in lines]
    return "\\begin{gathered}\n" + " \\\\\n".join(lines) + "\n\\end{gathered}"


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python -m minimtl.equations.page FILE")
    Path(sys.argv[1]).write_text(page(), encoding="utf-8")
    print(f"{len(registry)} equations in {sys.argv[1]}")
