# %% [markdown]
r"""
# The map: a formula, its code, and a check between them

**Goal** Go from a formula to the lines that compute it and back; see a printed formula evaluated as it stands, and caught when it is
wrong, twice as it was misprinted elsewhere; and put a formula of your own beside code of your own.

**Needs** Lessons 1 and 3.  **Time** 15 minutes.

**The mathematics** Any. Every formula of this project has an id and is declared above the function that computes it:

$$y_i = \frac{e^{x_i}}{\sum_{j=1}^{n} e^{x_j}}$$

is `nn.softmax`, and its derivative, for a gradient $g$ that comes in, is `nn.softmax.vjp`:

$$\frac{\partial L}{\partial x_i} = y_i \, (g_i - \sum_{j=1}^{n} g_j y_j)$$

`minimtl equations` lists them all, `minimtl equations nn.softmax` shows one, and [EQUATIONS.md](EQUATIONS.md) is the page to read.
"""

# %%
import argparse

import numpy as np

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import equations
from minimtl.equations import Formula, UnreadableError
from minimtl.training import say

# %% [markdown]
r"""
**From a formula to its code** An equation knows its LaTeX, its function, and where that is written. The function is the one that
the engine calls, not a copy of it.
"""


# %%
def look_up(id: str) -> None:
    """Say what the map knows of an equation."""
    e = equations[id]
    say(f"{e.id}, {e.status}: {e.function.__qualname__} in {e.file}, line {e.line}\n  {e.latex}")


# %% [markdown]
r"""
**The formula, read literally** A reader of LaTeX turns the formula into a small program of loops over single numbers. It has nothing
in common with the vectorised code that it is compared with: no arrays, no axes, no trick against overflow. If both agree on random
numbers, then what is printed is what is computed.
"""


# %%
def read(id: str, x: np.ndarray) -> float:
    """The program of the formula, and how far it is from the engine at x."""
    e = equations[id]
    say("\n" + Formula(e.latex, e.names).program)
    return equations.difference(e.latex, {"x": x, "n": len(x)}, F.softmax(mm.tensor(x), 0).numpy())


# %% [markdown]
r"""
**Two misprints** Adam divides by $\sqrt{\hat v} + \varepsilon$. In teaching code that many have read, one line above the (right) code
said $\hat v$, without the root; and where the correction is moved into the rate, $(1 - \beta_2^t)\,\varepsilon$ was printed for
$\sqrt{1 - \beta_2^t}\,\varepsilon$. Nobody evaluates a comment. Here both are evaluated.
"""

ADAM = r"u = \eta \frac{m / (1 - \beta_1^t)}{\sqrt{v / (1 - \beta_2^t)} + \varepsilon}"
SHORTER = r"u = \eta \frac{\sqrt{1 - \beta_2^t}}{1 - \beta_1^t} \frac{m}{\sqrt{v} + \sqrt{1 - \beta_2^t} \, \varepsilon}"
STATED = {
    "as in the paper": ADAM,
    "without the root": ADAM.replace(r"\sqrt{v / (1 - \beta_2^t)}", r"v / (1 - \beta_2^t)"),
    "shorter": SHORTER,
    "shorter, with the misprint": SHORTER.replace(r"\sqrt{1 - \beta_2^t} \, \varepsilon", r"(1 - \beta_2^t) \, \varepsilon"),
}


# %%
def adam_step() -> tuple[dict[str, float], float]:
    """The numbers of a third step, and how far Adam itself moves a parameter in it."""
    θ = mm.nn.Parameter(mm.tensor([0.0], dtype="float64"))
    adam = mm.optim.Adam([θ], lr=0.1, eps=1e-3)
    for _ in range(3):
        before = θ.item()
        θ.grad = mm.tensor([2e-3], dtype="float64")
        adam.step()
    state = adam.state[θ]
    values = {"m": state["exp_avg"].item(), "v": state["exp_avg_sq"].item(), "t": 3}
    return {**values, "β1": 0.9, "β2": 0.999, "η": 0.1, "ε": 1e-3}, before - θ.item()


# %% [markdown]
r"""
**What it refuses** LaTeX is ambiguous: $p(x)$ is a function applied or a product, $x_{ki}$ has one index or two. The reader has a rule
for each, and refuses what it has no rule for. A symbol that touches a bracket is applied; a subscript of several letters is so many
indices.
"""

REFUSED = [r"y = a \odot b", r"\theta^* = \arg\min_{\theta} a", r"y = p(a)", "y = q a"]


# %%
def refusals() -> list[str]:
    """What the reader says to each."""
    said = []
    for latex in REFUSED:
        try:
            Formula(latex, {"a", "b", "p", "θ"}).evaluate({"a": 1.0, "b": 2.0, "p": 3.0}, 0.0)
        except UnreadableError as refusal:
            said.append(f"{latex:36s} {refusal}")
    return said


# %% [markdown]
r"""
**Yours** Swish is $x\,\sigma(x)$. Put your formula beside your code: `equations.difference(latex, {"x": x}, swish(x))`. Here the code
has a slip that no gradient check can find, since its derivative would be right.
"""

SWISH = r"y_i = \frac{x_i}{1 + e^{-x_i}}"


# %%
def swish(x: np.ndarray) -> np.ndarray:
    """x σ(x), hastily."""
    return x / (1 + np.exp(-2 * x))


# %%
def main(seed: int = 0) -> dict[str, float]:
    """Show all this and return the numbers."""
    x = np.random.default_rng(seed).normal(size=5)
    for id in ("mtl.weighted_loss", "nn.softmax", "nn.softmax.vjp"):
        look_up(id)
    numbers = {"softmax": read("nn.softmax", x)}
    say(f"formula and engine differ by {numbers['softmax']:.1e}\n")
    values, moved = adam_step()
    for name, latex in STATED.items():
        numbers[name] = equations.difference(latex, values, moved)
        say(f"Adam, {name:28s} off by {numbers[name]:.1e}")
    say("\n" + "\n".join(said := refusals()))
    numbers |= {"refused": len(said), "swish": equations.difference(SWISH, {"x": x}, swish(x))}
    say(f"\nswish, formula beside code: off by {numbers['swish']:.1e}")
    known = equations.all()
    worst = max(equations.check(e.id, trials=3, seed=seed) for e in known)
    say(f"\nall {len(known)} equations, three draws each: off by at most {worst:.1e}")
    return numbers | {"worst": worst, "equations": len(known)}


# %% [markdown]
r"""
**You should see** softmax agreeing to 1e-16 or so; Adam as in the paper and the shorter form agreeing, the two misprints off by a lot;
four refusals, each naming what it is about; the hasty swish off by more than 0.1; and all equations agreeing to 1e-7, most of them to
1e-12 (what is float32 in the engine, an image of bytes for instance, agrees to seven digits).

**What stands where**, in the order in which to read; layers, activations and losses each with their derivatives (`.vjp`):

- The documents' own equations: `mtl.data`, `tl.data`, `mtl.hard_sharing`, `mtl.task_loss`, `mtl.total_loss`, `mtl.joint_objective`,
  `mtl.minibatch`, `mtl.weighted_loss`, `mtl.regularised_loss`, `mtl.parity`, `mtl.own_gradient`, `mtl.shared_gradient`, `tl.delta`,
  `tl.delta_gradient`, `tl.fine_tune`
- Layers: `nn.linear`, `ops.matmul`, `nn.conv2d`, `nn.conv_transpose2d`, `nn.max_pool2d`, `nn.avg_pool2d`, `nn.adaptive_avg_pool2d`,
  `nn.upsample_nearest2d`, `nn.flatten`, `nn.dropout`, `nn.embedding`, `nn.identity`
- Activations: `ops.exp`, `ops.log`, `ops.sqrt`, `ops.abs`, `ops.sin`, `ops.cos`, `nn.tanh`, `nn.sigmoid`, `nn.relu`,
  `nn.leaky_relu`, `nn.gelu`, `nn.gelu_tanh`, `nn.softplus`, `nn.softmax`, `nn.log_softmax`, `nn.logsumexp`
- Losses: `nn.mse_loss`, `nn.l1_loss`, `nn.huber_loss`, `nn.smooth_l1_loss`, `nn.kl_div`, `nn.binary_cross_entropy`,
  `nn.binary_cross_entropy_with_logits`, `nn.cross_entropy`, `nn.nll_loss`, `nn.label_smoothing`, `nn.soft_cross_entropy`
- Normalisation: `nn.normalise`, `nn.batch_norm`, `nn.batch_norm_eval`, `nn.layer_norm`, `nn.group_norm`, `nn.running_statistics`
- Optimisers: `optim.sgd`, `optim.sgd_maximize`, `optim.nesterov`, `optim.adam`, `optim.adamw`, `optim.rmsprop`,
  `optim.rmsprop_centered`
- Schedules: `optim.lambda_lr`, `optim.step_lr`, `optim.multi_step_lr`, `optim.cosine_annealing_lr`, `optim.linear_lr`,
  `optim.reduce_lr_on_plateau.is_better`, `optim.reduce_lr_on_plateau`
- Initialisers: `init.uniform`, `init.normal`, `init.constant`, `init.zeros`, `init.ones`, `init.fans`, `init.calculate_gain`,
  `init.xavier_uniform`, `init.xavier_normal`, `init.kaiming_uniform`, `init.kaiming_normal`, `init.default`
- Data, gradients and metrics: `data.to_tensor`, `data.normalize`, `nn.clip_grad_norm`, `nn.clip_grad_norm.total`,
  `nn.clip_grad_value`, `metrics.accuracy`, `metrics.mse`, `metrics.mae`

**Your turn**
1. Mend `swish`, and write the formula of its derivative next. Which symbols does it need beside $x$?
2. Run `minimtl equations nn.conv2d.vjp.w`. Where does the loop over the windows hide in the code?
3. Change a sign in `minimtl/kernels/softmax.py` and run `minimtl equations nn.softmax.vjp`. Then turn it back.
"""

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="From formulas to code and back.")
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
