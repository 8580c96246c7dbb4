"""The objectives of multi-task learning, as the documents print them. φ is shared, θₖ belongs to task k.

The documents disagree on letters: what D0 calls φ and θₖ is θ and θ⁽ⁱ⁾ in D3; K tasks in D0 are T in D1 and D3. The code
keeps D0's.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from minimtl.autograd import Tensor
from minimtl.equation import equation

Loss = Callable[[Any, Tensor], Tensor]
Data = tuple[Any, Tensor]  # the inputs and the labels of N samples


@equation("mtl.hard_sharing", r"f_k(x; \theta_k, \phi) = \theta_k(\phi(x))", symbols={"θ": "θk"}, source="D1 §3.2")
def f(x: Any, θk: Callable[[Any], Any], φ: Callable[[Any], Any]) -> Any:
    """fₖ(x; θₖ, φ) = θₖ(φ(x)): hard sharing, D1 §3.2."""
    return θk(φ(x))


@equation(
    "mtl.task_loss",
    r"L_k(\theta_k, \phi) = \sum_{i=1}^{N_k} l_k(f_k(x_{ki}; \theta_k, \phi), y_{ki})",
    symbols={"θ": "θk", "x": "D", "y": "D", "N": "D", "f": "f"},
    source="D0 §3.1",
    conventions="a sum over samples, for each of which l gives a loss",
    helpers=("sum_of_samples",),
)
def task_loss(l: Loss, θk: Callable[[Any], Any], φ: Callable[[Any], Any], D: Data) -> Tensor:
    """Lₖ(θₖ, φ) = Σᵢ lₖ(fₖ(xₖᵢ; θₖ, φ), yₖᵢ)      l gives a loss per sample, as with reduction "none"; D0 §3.1"""
    x, y = D
    return sum_of_samples("task_loss", l(f(x, θk, φ), y), y)


def sum_of_samples(name: str, losses: Tensor, y: Tensor) -> Tensor:
    """Σᵢ lᵢ of a loss per sample. One number for several samples may be their mean, which counts a task 1/N of what it should."""
    if losses.shape[:1] != y.shape[:1]:
        raise ValueError(
            f"{name}: l must give a loss for each of the {len(y)} samples, as with reduction='none', got shape {losses.shape}"
        )
    return losses.sum()


@equation(
    "mtl.total_loss",
    r"L = \sum_{k=1}^{K} L_k(\theta_k, \phi) = \sum_{k=1}^{K} \sum_{i=1}^{N_k} l_k(f_k(x_{ki}; \theta_k, \phi), y_{ki})",
    symbols={"x": "D", "y": "D", "N": "D", "K": "D", "f": "f", "L": "task_loss"},
    source="D0 §3.1",
    conventions="a sum over samples; hard sharing: fₖ is θₖ ∘ φ. Means, as the field's losses, are the weights αₖ = 1/Nₖ",
)
@equation(
    "mtl.joint_objective",
    r"\min_{\theta, \{\theta^{(i)}\}_{i=1}^{T}} \sum_{i=1}^{T} L^{(i)}(f(x^{(i)}; \theta, \theta^{(i)}), y^{(i)})",
    symbols={"L": "l", "θ": "θ", "x": "D", "y": "D", "T": "D", "f": "f"},
    source="D3 §3.1",
    conventions="the objective under the min, in D3's letters: θ is D0's φ, θ⁽ⁱ⁾ its θₖ, and L⁽ⁱ⁾ is of all samples of task i",
)
def total_loss(l: Mapping[str, Loss], θ: Mapping[str, Any], φ: Callable[[Any], Any], D: Mapping[str, Data]) -> Tensor:
    """L = Σₖ Lₖ(θₖ, φ) = Σₖ Σᵢ lₖ(fₖ(xₖᵢ; θₖ, φ), yₖᵢ)      l, θ, D: task k → lₖ, θₖ, Dₖ = (xₖ, yₖ) of Nₖ samples; D0 §3.1

    D3 §3.1 writes the same sum min_θ, {θᵢ}ᵢ Σᵢ Lᵢ(f(xᵢ; θ, θᵢ), yᵢ): its θ is φ, its θᵢ is θₖ.

    A sum over samples, where the field's losses are means: Σₖ Nₖ meanₖ is this sum, and Σₖ meanₖ is Σₖ αₖ Lₖ with αₖ = 1/Nₖ.
    """
    return sum_of(task_loss(l[k], θ[k], φ, D[k]) for k in D)


@equation(
    "mtl.minibatch",
    r"\hat{L} = \sum_{k=1}^{K} \frac{N_k}{|B_k|} \sum_{i \in B_k} l_k(f_k(x_{ki}; \theta_k, \phi), y_{ki})",
    symbols={"x": "B", "y": "B", "K": "B", "f": "f"},
    source="the bridge from D0 §3.1, a sum over all samples, to the batches of D1",
    conventions="Bₖ is a set of samples of task k, drawn uniformly; the loss of a sample depends on it alone: no batch norm",
)
def minibatch_loss(
    l: Mapping[str, Loss],
    θ: Mapping[str, Any],
    φ: Callable[[Any], Any],
    B: Mapping[str, Data],
    N: Mapping[str, int],
) -> Tensor:
    """L̂ = Σₖ Nₖ/|Bₖ| Σ_{i ∈ Bₖ} lₖ(fₖ(xₖᵢ; θₖ, φ), yₖᵢ)

    Unbiased for `total_loss` when Bₖ is drawn uniformly from the Nₖ samples of task k.
    """
    return sum_of(N[k] / len(B[k][1]) * task_loss(l[k], θ[k], φ, B[k]) for k in B)


@equation(
    "mtl.weighted_loss",
    r"\min_{\theta} \sum_{t=1}^{T} \alpha_t L_t(\theta)",
    symbols={"T": "L", "θ": "L"},
    source="D1 §3.1",
    conventions="the function is the objective under the min; the parameters θ are inside the losses",
)
def weighted_loss(L: Mapping[str, Tensor], α: Mapping[str, float]) -> Tensor:
    """min_θ Σₜ αₜ Lₜ(θ)      L: one scalar loss per task, α: one weight per task → scalar; D1 §3.1"""
    return sum_of(α[t] * L[t] for t in L)


@equation(
    "mtl.regularised_loss",
    r"L(\theta) = \sum_{i=1}^{n} L_i(\theta) + \lambda R(\theta)",
    symbols={"n": "L"},
    source="D2 §3.1.4, §3.2.4",
    conventions="λ > 0, and here 0 too; D2 prints it for multi-task and for transfer learning, and uses it in neither listing",
)
def regularised_loss(L: Sequence[Callable[[Any], Tensor]], R: Callable[[Any], Tensor], λ: float, θ: Any) -> Tensor:
    """L(θ) = Σᵢ Lᵢ(θ) + λ R(θ)      L: a loss of the parameters θ per task, R: a penalty on them, λ ≥ 0; D2 §3.1.4"""
    if not λ >= 0:
        raise ValueError(f"regularised_loss: λ must not be negative, got {λ}")
    return sum_of(Lᵢ(θ) for Lᵢ in L) + λ * R(θ)


def sum_of(terms: Any) -> Tensor:
    """Σ of Tensors; there must be one."""
    terms = list(terms)
    if not terms:
        raise ValueError("the sum over tasks has no term: no task was given")
    return sum(terms[1:], terms[0])


@equation("mtl.parity", r"y^{\mathrm{parity}} = [\,y \bmod 2 = 0\,]", source="D1 §4.1", conventions="1 for even labels")
def parity(y: Tensor) -> Tensor:
    """yᵖᵃʳⁱᵗʸ = [y mod 2 = 0]      1 for even, 0 for odd labels; D1 §4.1"""
    return (y % 2 == 0).long()
