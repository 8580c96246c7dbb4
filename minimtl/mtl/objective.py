"""The objectives of multi-task learning, as the documents print them. φ is shared, θₖ belongs to task k.

The documents disagree on letters: what D0 calls φ and θₖ is θ and θ⁽ⁱ⁾ in D3; K tasks in D0 are T in D1 and D3. The code
keeps D0's.
"""

from collections.abc import Callable, Mapping
from typing import Any

from minimtl.autograd import Tensor

Loss = Callable[[Any, Tensor], Tensor]
Data = tuple[Any, Tensor]  # the inputs and the labels of N samples


def f(x: Any, θk: Callable[[Any], Any], φ: Callable[[Any], Any]) -> Any:
    """fₖ(x; θₖ, φ) = θₖ(φ(x)): hard sharing, D1 §3.2."""
    return θk(φ(x))


def task_loss(l: Loss, θk: Callable[[Any], Any], φ: Callable[[Any], Any], D: Data) -> Tensor:
    """Lₖ(θₖ, φ) = Σᵢ lₖ(fₖ(xₖᵢ; θₖ, φ), yₖᵢ)      lₖ gives a loss per sample (reduction "none") or their sum; D0 §3.1"""
    x, y = D
    return l(f(x, θk, φ), y).sum()


def total_loss(l: Mapping[str, Loss], θ: Mapping[str, Any], φ: Callable[[Any], Any], D: Mapping[str, Data]) -> Tensor:
    """L = Σₖ Lₖ(θₖ, φ)      l, θ, D: task k → lₖ, θₖ, Dₖ = (xₖ, yₖ), each with its own Nₖ samples; D0 §3.1

    A sum over samples. With mean losses the same is Σₖ αₖ Lₖ at αₖ = Nₖ, and the mean losses alone are αₖ = 1/Nₖ.
    """
    return sum_of(task_loss(l[k], θ[k], φ, D[k]) for k in D)


def minibatch_loss(
    l: Mapping[str, Loss],
    θ: Mapping[str, Any],
    φ: Callable[[Any], Any],
    B: Mapping[str, Data],
    N: Mapping[str, int],
) -> Tensor:
    """L̂ = Σₖ Nₖ/|Bₖ| Σ_{i ∈ Bₖ} lₖ      unbiased for `total_loss` when Bₖ is drawn uniformly from the Nₖ samples of task k"""
    return sum_of(N[k] / len(B[k][1]) * task_loss(l[k], θ[k], φ, B[k]) for k in B)


def weighted_loss(L: Mapping[str, Tensor], α: Mapping[str, float]) -> Tensor:
    """L = Σₜ αₜ Lₜ      L: one scalar loss per task, α: one weight per task → scalar; D1 §3.1"""
    return sum_of(α[t] * L[t] for t in L)


def sum_of(terms: Any) -> Tensor:
    """Σ of Tensors; there must be one."""
    terms = list(terms)
    if not terms:
        raise ValueError("the sum over tasks has no term: no task was given")
    return sum(terms[1:], terms[0])


def parity(y: Tensor) -> Tensor:
    """yᵖᵃʳⁱᵗʸ = [y mod 2 = 0]      1 for even, 0 for odd labels; D1 §4.1"""
    return (y % 2 == 0).long()
