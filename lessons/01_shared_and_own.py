# %% [markdown]
r"""
# φ and θₖ: what tasks share, and what is their own

**Goal** See the smallest multi-task network, the listing D0-a, and check on it the three facts that multi-task learning rests on.
D0 to D4 are the five tutorials on multi-task and transfer learning that these lessons follow; the README says which.

**Needs** Python; a little PyTorch helps.  **Time** 10 minutes.

**The mathematics** With K tasks, φ shared and θₖ of task k (D0 §3.1),

$$L = \sum_{k=1}^{K} L_k(\theta_k, \phi) = \sum_{k=1}^{K} \sum_{i=1}^{N_k} l_k(f_k(x_{ki}; \theta_k, \phi), y_{ki})$$

which is `mtl.total_loss`; the sharing is `mtl.hard_sharing`. The gradient of a sum is the sum of the gradients, and Lⱼ does not
contain θₖ, hence

1. ∂L/∂φ = Σₖ ∂Lₖ/∂φ: every task moves what is shared;
2. ∂L/∂θₖ = ∂Lₖ/∂θₖ, for ∂Lⱼ/∂θₖ = 0 where j ≠ k: nobody else moves what is a task's own (`mtl.own_gradient`);
3. with weights (`mtl.weighted_loss`), ∂/∂φ Σₖ αₖ Lₖ = Σₖ αₖ ∂Lₖ/∂φ: a weight is a learning rate for one task's say in φ
   (`mtl.shared_gradient`).

Every such id names a formula beside its code in [EQUATIONS.md](EQUATIONS.md), and `minimtl equations mtl.total_loss` shows one.
"""

# %%
import argparse

import minimtl as mm
import minimtl.nn.functional as F
from minimtl import mtl, nn, optim
from minimtl.training import say

TASKS = ("1", "2")

# %% [markdown]
r"""
**The network** D0's `SharedNet` is Linear(100 → 50), each `TaskNet` is Linear(50 → 10). There is no activation between them, so
each θₖ ∘ φ is one affine map, of rank at most 10, and both together have rank at most 20: 50 shared features restrict nothing. That is
enough to see the parts, and too little to learn much.
"""


# %%
def network() -> mtl.HardSharing:
    """{"1": θ₁(φ(x)), "2": θ₂(φ(x))}      (N, 100) → (N, 10) twice"""
    return mtl.HardSharing(shared=nn.Linear(100, 50), heads={k: nn.Linear(50, 10) for k in TASKS})


# %% [markdown]
r"""
**The loss, literally** `l`, `θ`, `φ` and `D` are those of the formula. Here both tasks see the same ten samples.
"""


# %%
def joint_loss(model: mtl.HardSharing, D: dict[str, tuple[mm.Tensor, mm.Tensor]]) -> mm.Tensor:
    """L = Σₖ Σᵢ lₖ(fₖ(xₖᵢ; θₖ, φ), yₖᵢ)"""
    φ, θ = model.shared, model.heads
    l = {k: lambda ŷ, y: F.cross_entropy(ŷ, y, reduction="none") for k in D}
    return mtl.total_loss(l, θ, φ, D)


# %% [markdown]
r"""
**Check the three facts** `mm.grad` gives gradients without leaving them in `.grad`, so that they can be compared.
"""


# %%
def facts(model: mtl.HardSharing, D: dict[str, tuple[mm.Tensor, mm.Tensor]]) -> dict[str, float]:
    """The largest deviation from each of the three facts; 0 but for rounding."""
    φ = list(model.shared_parameters())

    def L(k: str) -> mm.Tensor:
        return joint_loss(model, {k: D[k]})

    def gap(a: tuple[mm.Tensor | None, ...], b: list[mm.Tensor]) -> float:
        return max((g - h).abs().max().item() for g, h in zip(a, b, strict=True) if g is not None)

    per_task = [mm.grad(L(k), φ) for k in TASKS]
    joint = mm.grad(joint_loss(model, D), φ)
    θ1 = list(model.task_parameters("1"))
    foreign = mm.grad(L("2"), θ1, allow_unused=True)
    α = {"1": 0.3, "2": 2.0}
    weighted = mm.grad(mtl.weighted_loss({k: L(k) for k in TASKS}, α), φ)
    return {
        "∂L/∂φ − Σₖ ∂Lₖ/∂φ": gap(joint, [g + h for g, h in zip(*per_task, strict=True)]),
        "∂L₂/∂θ₁": 0.0 if foreign == (None, None) else 1.0,  # None: no path leads from L₂ to θ₁ at all
        "∂(Σₖ αₖ Lₖ)/∂φ − Σₖ αₖ ∂Lₖ/∂φ": gap(weighted, [0.3 * g + 2.0 * h for g, h in zip(*per_task, strict=True)]),
    }


# %% [markdown]
r"""
**One training step** moves φ by both tasks' gradients and each θₖ by its own. Repeated, it fits ten random samples: ten numbers to
remember, and 50 features to remember them with.
"""


# %%
def main(seed: int = 0, steps: int = 200) -> dict[str, float]:
    """Check the facts, train, and return the numbers."""
    mm.manual_seed(seed)
    model, x = network(), mm.randn(10, 100)
    D = {k: (x, mm.randint(0, 10, (10,))) for k in TASKS}
    for part, parameters in [("φ", model.shared_parameters()), *((f"θ_{k}", model.task_parameters(k)) for k in TASKS)]:
        say(f"{part:4s} {sum(p.numel() for p in parameters):5d} numbers")
    numbers = facts(model, D)
    for fact, deviation in numbers.items():
        say(f"{fact:32s} {deviation:.1e}")
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    for step in range(steps + 1):
        L = joint_loss(model, D)
        if step % 50 == 0:
            say(f"step {step:3d}   L = {L.item():.4f}")
        optimizer.zero_grad()
        L.backward()
        optimizer.step()
    return numbers | {"L": L.item()}


# %% [markdown]
r"""
**You should see** deviations of at most 1e-6 (float32 rounding), an exact 0 for ∂L₂/∂θ₁, and L falling from about 45 to below .1.

**Your turn** In `main()` train on `joint_loss(model, {"1": D["1"]})`, which gives task 2 the weight 0: which of φ, θ₁, θ₂ still
moves? Then freeze φ with `model.shared.requires_grad_(False)`: what does each task still learn from the other?
"""

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Shared and own parameters (D0-a).")
    parser.add_argument("--seed", type=int, default=0)
    main(parser.parse_args().seed)
