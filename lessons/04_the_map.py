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
from minimtl.equations import Formula, UnreadableError, equation, operation
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
**A formula of yours** Softsign is $x / (1 + |x|)$. `equations.difference` puts a formula beside what your code gives: an integer
division by mistake, and no gradient check can know that another function was meant.

**An equation of yours** `@equation` declares a formula above its function, as the engine does; a derivative has the id of its
function and `.vjp`, and stands below it. `operation` makes the checks of both: it draws values for the letters, runs the function on
tensors, sends a random $G$ back, and compares. The last argument are wrong formulas that the checks must notice, beside each sign
turned round.
"""

SOFTSIGN = r"y_i = \frac{x_i}{1 + |x_i|}"


# %%
def hasty(x: np.ndarray) -> np.ndarray:
    """x / (1 + |x|), hastily."""
    return x // (1 + np.abs(x))


def yours() -> float:
    """A new operation on the map: how far formula and code are apart, once its controls are noticed."""

    @equation("my.softsign", SOFTSIGN, shapes="x (n) → y (n)")
    @equation("my.softsign.vjp", r"\frac{\partial L}{\partial x_i} = \frac{G_i}{(1 + |x_i|)^2}")
    @mm.differentiable
    def softsign(x):
        size = 1 + np.abs(x)
        return x / size, lambda G: G / size**2

    operation(
        "my.softsign",
        lambda d: {"x": d.array(d.size(2, 4))},
        lambda v: softsign(v.x),
        {"": [("|x_i|", "x_i")], ".vjp": [("^2", ""), ("|x_i|", "x_i")]},
    )
    for id in ("my.softsign", "my.softsign.vjp"):
        for wrong, noticed in equations.controls(id).items():
            say(f"{id:16s} {'notices' if noticed else 'MISSES'} {wrong}")
    return max(equations.check("my.softsign"), equations.check("my.softsign.vjp"))


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
    numbers |= {"refused": len(said), "hasty": equations.difference(SOFTSIGN, {"x": x}, hasty(x))}
    say(f"\nsoftsign, hastily: off by {numbers['hasty']:.1e}")
    known = equations.all()
    worst = max(equations.check(e.id, trials=3, seed=seed) for e in known)
    say(f"\nall {len(known)} equations, three draws each: off by at most {worst:.1e}")
    with equations.new():
        numbers["yours"] = yours()
    say(f"my.softsign and its derivative: off by at most {numbers['yours']:.1e}")
    return numbers | {"worst": worst}


# %% [markdown]
r"""
**You should see** softmax agreeing to 1e-16 or so; Adam as in the paper and the shorter form agreeing, the two misprints off by a lot;
four refusals, each naming what it is about; the hasty softsign off by more than 0.5; all equations agreeing to 1e-7, most of them to
1e-12 (what is float32 in the engine, an image of bytes for instance, agrees to seven digits); and yours agreeing, every wrong formula
noticed.

**What stands where**, in the order in which to read; layers, activations and losses each with their derivatives (`.vjp`):

- The documents' own equations: `mtl.data`, `tl.data`, `mtl.hard_sharing`, `mtl.task_loss`, `mtl.total_loss`,
  `mtl.joint_objective`,
  `mtl.minibatch`, `mtl.weighted_loss`, `mtl.regularised_loss`, `mtl.parity`, `mtl.own_gradient`, `mtl.shared_gradient`,
  `tl.target_loss`, `tl.fine_tune`, `tl.delta`, `tl.delta_gradient`, `tl.delta_path`
- Layers: `nn.linear`, `ops.matmul`, `nn.conv2d`, `nn.conv_transpose2d`, `nn.conv2d.size`, `nn.conv_transpose2d.size`,
  `nn.max_pool2d`, `nn.avg_pool2d`, `nn.adaptive_avg_pool2d`, `nn.upsample_nearest2d`, `nn.flatten`, `nn.dropout`, `nn.embedding`,
  `nn.identity`
- Activations: `ops.exp`, `ops.log`, `ops.sqrt`, `ops.abs`, `ops.sin`, `ops.cos`, `nn.tanh`, `nn.sigmoid`, `nn.relu`,
  `nn.leaky_relu`, `nn.gelu`, `nn.gelu_tanh`, `nn.softplus`, `nn.softmax`, `nn.log_softmax`, `nn.logsumexp`
- Reductions: `ops.sum`, `ops.mean`, `ops.var`, `ops.std`, `ops.norm`
- Losses: `nn.mse_loss`, `nn.l1_loss`, `nn.huber_loss`, `nn.smooth_l1_loss`, `nn.kl_div`, `nn.binary_cross_entropy`,
  `nn.binary_cross_entropy_with_logits`, `nn.cross_entropy`, `nn.nll_loss`, `nn.nll_loss.of_probabilities`, `nn.label_smoothing`,
  `nn.soft_cross_entropy`
- Normalisation: `nn.normalise`, `nn.batch_norm`, `nn.batch_norm_eval`, `nn.layer_norm`, `nn.group_norm`, `nn.running_statistics`
- Optimisers: `optim.sgd`, `optim.sgd_maximize`, `optim.nesterov`, `optim.adam`, `optim.adamw`, `optim.rmsprop`,
  `optim.rmsprop_centered`
- Schedules: `optim.lambda_lr`, `optim.step_lr`, `optim.multi_step_lr`, `optim.cosine_annealing_lr`, `optim.linear_lr`,
  `optim.reduce_lr_on_plateau.is_better`, `optim.reduce_lr_on_plateau`
- Initialisers: `init.uniform`, `init.normal`, `init.constant`, `init.zeros`, `init.ones`, `init.fans`, `init.calculate_gain`,
  `init.xavier_uniform`, `init.xavier_normal`, `init.kaiming_uniform`, `init.kaiming_normal`, `init.default`
- Data, gradients and metrics: `data.to_tensor`, `data.normalize`, `nn.clip_grad_norm`, `nn.clip_grad_norm.total`,
  `nn.clip_grad_value`, `metrics.confusion`, `metrics.accuracy`, `metrics.f1`, `metrics.f1_micro`, `metrics.iou`, `metrics.mse`,
  `metrics.mae`, `metrics.r2`
- What tasks share: `mtl.cross_stitch`, `mtl.mmoe`, `mtl.cgc`, `mtl.ple`, `mtl.mtan`, `nn.attention`; penalties: `mtl.l1`,
  `mtl.l2`,
  `mtl.l2_distance`, `mtl.group_lasso`, `mtl.trace_norm`, `ops.nuclear_norm`; few samples of a class: `mtl.class_weights`,
  `nn.focal_loss`
- Weighting losses: `mtl.normalised_weights`, `mtl.per_label`, `mtl.rlw`, `mtl.gls`, `mtl.stch`, `mtl.dwa`, `mtl.dtp`,
  `mtl.uncertainty`,
  `mtl.imtl_l`, `mtl.gradnorm`, `mtl.famo`; turns: `mtl.sampling`, `mtl.annealed_sampling`; fusion: `mtl.weight_average`,
  `mtl.distillation`
- Mixing gradients: `mtl.jacobian`, `mtl.gramian`, `mtl.combination`, `mtl.gradient_cosine`, `mtl.pcgrad`, `mtl.gradvac`,
  `mtl.graddrop`,
  `mtl.mgda`, `mtl.cagrad`, `mtl.nash`, `mtl.upgrad`, `mtl.equiangular`, `mtl.imtl_g`, `mtl.config`, `mtl.aligned`
- How tasks relate: `mtl.label_correlation`, `mtl.cramers_v`, `mtl.correlation_ratio`, `mtl.mutual_information`,
  `mtl.mutual_information.normalised`, `mtl.mutual_information.numbers`, `mtl.mutual_information.mixed`, `mtl.linear_cka`,
  `mtl.proxy_a_distance`, `mtl.affinity`, `mtl.grouping`
- Evaluation: `mtl.delta_m`, `mtl.mean_rank`, `mtl.interval`, `mtl.forgetting`

**Your turn**
1. Mend `hasty`. Then give `yours` the derivative $G_i (1 - |y_i|)^2$, in which $y$ is what the function returned: is it the same?
2. Run `minimtl equations nn.conv2d.vjp.w`. Where does the loop over the windows hide in the code?
3. Change a sign in `minimtl/kernels/softmax.py` and run `minimtl equations nn.softmax.vjp`. Then turn it back.
"""

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="From formulas to code and back.")
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
