"""Losses of probabilities: divergence and cross entropies, averaged, summed or left ("mean", "sum", "none"). G: the gradient of l."""

import numpy as np

from minimtl import dtypes, kernels
from minimtl.autograd import Tensor, differentiable
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.kernels.shared import Result
from minimtl.ops import check
from minimtl.ops.arithmetic import where
from minimtl.ops.distance import PAIR, no_nan, reduced, targets_like
from minimtl.ops.elementwise import exp, log
from minimtl.ops.reduce import sum

NONE = 'of each entry, with reduction "none"; "mean" and "sum" follow'


@equation(
    "nn.kl_div",
    r"l = \frac{1}{N} \sum_{n=1}^{N} \sum_{k=1}^{C} t_{nk} \, (\ln t_{nk} - x_{nk})",
    symbols={"x": "input", "t": "target"},
    shapes="x (N, C), t (N, C) → l ()",
    source="Kullback & Leibler 1951",
    conventions='KL(t ‖ eˣ): x are log-probabilities, as are t with log_target. Reduction "batchmean", the divergence itself; '
    'the default "mean" divides by all N C entries; 0 ln 0 counts as 0',
    unseen=("reduction", "log_target"),
)
@equation("nn.kl_div.vjp.x", r"\frac{\partial L}{\partial x_{nk}} = -\frac{G}{N} t_{nk}")
@equation("nn.kl_div.vjp.t", r"\frac{\partial L}{\partial t_{nk}} = \frac{G}{N} (\ln t_{nk} + 1 - x_{nk})")
def kl_div(input: Tensor, target: Tensor, reduction: str = "mean", log_target: bool = False) -> Tensor:
    """l = 1/N Σₙ Σₖ tₙₖ (ln tₙₖ − xₙₖ)      ∂L/∂xₙₖ = −G/N tₙₖ      ∂L/∂tₙₖ = G/N (ln tₙₖ + 1 − xₙₖ)

    input x: log-probabilities; target t: probabilities, or their logarithms with `log_target`. This is "batchmean", the
    divergence itself; "mean" divides by all entries, as PyTorch's default.
    """
    targets_like("kl_div", input, target)
    t = exp(target) if log_target else target
    log_t = target if log_target else log(where(target > 0, target, 1.0))  # 0 ln 0 = 0
    losses = t * (log_t - input)
    if reduction == "batchmean":
        return sum(losses) / (input.shape[0] if input.ndim else 1)
    return reduced("kl_div", losses, reduction)


@equation(
    "nn.binary_cross_entropy",
    r"l_i = -w_i \, (y_i \ln p_i + (1 - y_i) \ln(1 - p_i))",
    symbols={"p": "input", "y": "target", "w": "weight"},
    shapes="p (n), y (n), w (n) → l (n)",
    conventions=f"{NONE}; logarithms below −100 count as −100",
    helpers=("_binary_cross_entropy",),
    unseen=("reduction",),
)
@equation("nn.binary_cross_entropy.vjp.p", r"\frac{\partial L}{\partial p_i} = G_i w_i \frac{p_i - y_i}{p_i \, (1 - p_i)}")
@equation("nn.binary_cross_entropy.vjp.y", r"\frac{\partial L}{\partial y_i} = -G_i w_i \, (\ln p_i - \ln(1 - p_i))")
def binary_cross_entropy(input: Tensor, target: Tensor, weight: Tensor | None = None, reduction: str = "mean") -> Tensor:
    """lᵢ = −wᵢ (yᵢ ln pᵢ + (1 − yᵢ) ln(1 − pᵢ))      input p: probabilities; logarithms are cut off at −100, as PyTorch's

    ∂L/∂pᵢ = Gᵢ wᵢ (pᵢ − yᵢ) / (pᵢ (1 − pᵢ))      ∂L/∂yᵢ = −Gᵢ wᵢ (ln pᵢ − ln(1 − pᵢ))
    """
    name = "binary_cross_entropy"
    targets_like(name, input, target)
    for what, x in (("input", input.array), ("target", target.array)):
        if x.size and not (x.min() >= 0 and x.max() <= 1):
            raise ValueError(f"{name}: {what} must lie in [0, 1], got {x.min()} … {x.max()}")
    return reduced(name, weighted(name, _binary_cross_entropy(input, target), weight), reduction)


@differentiable
def _binary_cross_entropy(p: Array, y: Array) -> Result:
    """l = −(y ln p + (1 − y) ln (1 − p))      ∂L/∂p = G (p − y) / p(1 − p)      ∂L/∂y = −G (ln p − ln (1 − p))"""
    check.one_dtype("binary_cross_entropy", p, y)
    log_p, log_q = np.maximum(np.log(p), -100), np.maximum(np.log1p(-p), -100)
    return (
        -(y * log_p + (1 - y) * log_q),
        lambda G: G * (p - y) / np.maximum(p * (1 - p), 1e-12),
        lambda G: G * (log_q - log_p),
    )


@equation(
    "nn.binary_cross_entropy_with_logits",
    r"l_{nk} = -w_{nk} \, (v_k y_{nk} \ln \sigma(x_{nk}) + (1 - y_{nk}) \ln(1 - \sigma(x_{nk}))),"
    r" \quad \sigma(u) = \frac{1}{1 + e^{-u}}",
    symbols={**PAIR, "w": "weight", "v": "pos_weight"},
    shapes="x (N, C), y (N, C), w (N, C), v (C) → l (N, C)",
    conventions=f"{NONE}; weights broadcast",
    helpers=("softplus_stable",),
    unseen=("reduction",),
)
@equation(
    "nn.binary_cross_entropy_with_logits.vjp.x",
    r"\frac{\partial L}{\partial x_{nk}}"
    r" = G_{nk} w_{nk} \, ((1 - y_{nk}) \, \sigma(x_{nk}) - v_k y_{nk} \, (1 - \sigma(x_{nk}))),"
    r" \quad \sigma(u) = \frac{1}{1 + e^{-u}}",
)
@equation(
    "nn.binary_cross_entropy_with_logits.vjp.y",
    r"\frac{\partial L}{\partial y_{nk}}"
    r" = -G_{nk} w_{nk} \, (v_k \ln \sigma(x_{nk}) - \ln(1 - \sigma(x_{nk}))),"
    r" \quad \sigma(u) = \frac{1}{1 + e^{-u}}",
)
def binary_cross_entropy_with_logits(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    reduction: str = "mean",
    pos_weight: Tensor | None = None,
) -> Tensor:
    """lₙₖ = −wₙₖ (vₖ yₙₖ ln σ(xₙₖ) + (1 − yₙₖ) ln(1 − σ(xₙₖ)))      v: pos_weight, how much a positive counts

    ∂L/∂xₙₖ = Gₙₖ wₙₖ ((1 − yₙₖ) σ(xₙₖ) − vₖ yₙₖ (1 − σ(xₙₖ)))
    ∂L/∂yₙₖ = −Gₙₖ wₙₖ (vₖ ln σ(xₙₖ) − ln(1 − σ(xₙₖ)))
    """
    name = "binary_cross_entropy_with_logits"
    targets_like(name, input, target)
    v = 1.0 if pos_weight is None else broadcastable(name, "pos_weight", pos_weight, input)
    # −ln σ(x) = softplus(−x) = softplus(x) − x, exact at both ends
    losses = (1 - target) * input + (1 + (v - 1) * target) * softplus_stable(-input)
    return reduced(name, weighted(name, losses, weight), reduction)


@differentiable
def softplus_stable(x: Array) -> Result:
    """y = ln (1 + eˣ) to the last digit      ∂L/∂x = G σ(x)"""
    return np.logaddexp(0, x).astype(x.dtype, copy=False), lambda G: G * kernels.sigmoid(x)


def weighted(name: str, losses: Tensor, weight: Tensor | None) -> Tensor:
    """Each loss times its weight, if there are any."""
    return losses if weight is None else losses * broadcastable(name, "weight", weight, losses)


def broadcastable(name: str, what: str, weight: Tensor, losses: Tensor) -> Tensor:
    """The weight, which broadcasts to the shape of the losses and does not widen it."""
    check.tensor(name, what, weight)
    new = losses.ndim - weight.ndim
    if new < 0 or any(m not in (1, n) for m, n in zip(weight.shape, losses.shape[new:], strict=True)):
        raise ValueError(f"{name}: {what} {weight.shape} does not broadcast to the input {losses.shape}")
    return weight


KEPT_WEIGHT = r"\sum_{n=0}^{N-1} [y_n \ne I] \, w_{y_n}"
LABELS = (
    'with reduction "mean", which divides by the weights of the labels that count; "sum" leaves 1/W out; classes count from 0; '
    "the ignored label I may be no class: a term with the factor 0 is 0"
)


@differentiable
def _cross_entropy(x: Array, q: Array) -> Result:
    """lₙ = −Σₖ qₙₖ ln softmax(x)ₙₖ: see `kernels.cross_entropy`."""
    return kernels.cross_entropy(x, q)


@equation(
    "nn.cross_entropy",
    r"l = -\frac{1}{W} \sum_{n=0}^{N-1} [y_n \ne I] \, w_{y_n} \ln \frac{e^{x_{n,y_n}}}{\sum_{k=0}^{C-1} e^{x_{nk}}},"
    r" \quad W = " + KEPT_WEIGHT,
    symbols={**PAIR, "w": "weight", "I": "ignore_index"},
    shapes="x (N, C), y (N), w (C) → l ()",
    conventions=LABELS,
    unseen=("reduction",),
    base=0,
    outside={"x": 0, "w": 0},
)
@equation(
    "nn.cross_entropy.vjp",
    r"\frac{\partial L}{\partial x_{nk}}"
    r" = \frac{G}{W} [y_n \ne I] \, w_{y_n} \left(\frac{e^{x_{nk}}}{\sum_{j=0}^{C-1} e^{x_{nj}}} - [k = y_n]\right),"
    r" \quad W = " + KEPT_WEIGHT,
)
@equation(
    "nn.label_smoothing",
    r"l = -\frac{1}{W} \sum_{n=0}^{N-1} \sum_{k=0}^{C-1} w_k q_{nk} \ln \frac{e^{x_{nk}}}{\sum_{j=0}^{C-1} e^{x_{nj}}},"
    r" \quad q_{nk} = (1 - \varepsilon) [k = y_n] + \frac{\varepsilon}{C},"
    r" \quad W = \sum_{n=0}^{N-1} w_{y_n}",
    symbols={**PAIR, "w": "weight", "ε": "label_smoothing"},
    shapes="x (N, C), y (N), w (C) → l ()",
    source="Szegedy et al. 2016",
    conventions="the mean divides by the weights of the labels, as without smoothing; no label is ignored here",
    base=0,
)
@equation(
    "nn.label_smoothing.vjp",
    r"\frac{\partial L}{\partial x_{nk}}"
    r" = \frac{G}{W} \left(\frac{e^{x_{nk}}}{\sum_{j=0}^{C-1} e^{x_{nj}}} \sum_{j=0}^{C-1} w_j q_{nj} - w_k q_{nk}\right),"
    r" \quad q_{nk} = (1 - \varepsilon) [k = y_n] + \frac{\varepsilon}{C},"
    r" \quad W = \sum_{n=0}^{N-1} w_{y_n}",
)
def cross_entropy(
    input: Tensor,
    target: Tensor,
    weight: Tensor | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Tensor:
    """l = −1/W Σₙ [yₙ ≠ I] w[yₙ] ln(e^{x[n,yₙ]} / (Σₖ e^{xₙₖ}))      W = Σₙ [yₙ ≠ I] w[yₙ]

    ∂L/∂xₙₖ = G/W [yₙ ≠ I] w[yₙ] (e^{xₙₖ} / (Σⱼ e^{xₙⱼ}) − [k = yₙ])      I: ignore_index, whose labels have no loss

    x: (N, C, …) logits, or (C) → (N, …), then the reduction. The target y is integers (N, …), qₙₖ = [k = yₙ], or
    probabilities (N, C, …), q = target, whose mean divides by their number, not by W. Label smoothing ε puts
    (1 − ε) q + ε/C in the place of q:

    l = −1/W Σₙ Σₖ wₖ qₙₖ ln(e^{xₙₖ} / (Σⱼ e^{xₙⱼ}))
    ∂L/∂xₙₖ = G/W (e^{xₙₖ} / (Σⱼ e^{xₙⱼ}) · Σⱼ wⱼ qₙⱼ − wₖ qₙₖ)
    """
    name = "cross_entropy"
    logits(name, input, target, weight)
    check.number(name, "label_smoothing", label_smoothing)
    if not 0 <= label_smoothing <= 1:
        raise ValueError(f"{name}: label_smoothing must lie in [0, 1], got {label_smoothing}")
    x = input if input.ndim > 1 else input.unsqueeze(0)
    C = x.shape[1]
    w = None if weight is None else weight.reshape(1, C, *[1] * (x.ndim - 2))
    if dtypes.is_float(target.array):
        if target.shape != input.shape:
            raise ValueError(
                f"{name}: labels must be integers; a target of {target.dtype} means probabilities and must have the "
                f"input's shape {input.shape}, got {target.shape}"
            )
        no_nan(name, target.array)
        q, total = target.reshape(*x.shape).to(x.dtype), x.array.size / C
    else:
        q, total = one_hot_targets(name, input, target, weight, ignore_index)
    if label_smoothing:
        kept = (
            1.0 if dtypes.is_float(target.array) else (target != ignore_index).reshape(q.shape[0], 1, *q.shape[2:]).to(x.dtype)
        )
        q = (1 - label_smoothing) * q + label_smoothing / C * kept
    losses = _cross_entropy(x, q if w is None else q * w)
    if reduction == "mean":
        return over(sum(losses), total)
    return reduced(name, losses if input.ndim > 1 else losses.reshape(()), reduction)


def over(total: Tensor, count: float) -> Tensor:
    """total / count, NaN where nothing was counted, with the derivative 0."""
    return total / count if count else total + float("nan")


def logits(name: str, input: Tensor, target: Tensor, weight: Tensor | None) -> None:
    """The input has classes, target and weights are Tensors that fit them."""
    check.tensor(name, "input", input)
    check.tensor(name, "target", target)
    C = (0, *input.shape[:2])[-1]
    if C == 0:
        raise ValueError(f"{name}: input must be (N, C, …) or (C) with one class or more, got {input.shape}")
    check.floating(name, input)
    if weight is not None:
        check.tensor(name, "weight", weight)
        check.one_dtype(name, input.array, weight.array)
        if weight.shape != (C,):
            raise ValueError(f"{name}: weight must have shape ({C},), got {weight.shape}")
        if weight.requires_grad:  # the mean divides by Σ w_y, which is taken as a number
            raise ValueError(f"{name}: has no derivative with respect to weight; detach() it")


def one_hot_targets(name: str, x: Tensor, target: Tensor, weight: Tensor | None, ignore_index: int) -> tuple[Tensor, float]:
    """q (N, C, …) = [k = y], all 0 where y = ignore_index, and Σ w_y over the others; N is 1 for a lone (C)."""
    shape = x.shape if x.ndim > 1 else (1, *x.shape)
    C, wanted = shape[1], (shape[0], *shape[2:]) if x.ndim > 1 else ()
    if target.shape != wanted:
        raise ValueError(f"{name}: input {x.shape} wants labels of shape {wanted}, got {target.shape}")
    if not check.is_integer(ignore_index):
        raise TypeError(f"{name}: ignore_index must be an integer, got {ignore_index!r}")
    y = target.array.reshape(shape[0], *shape[2:])
    kept = y != ignore_index
    check.integers(name, "labels", y[kept], 0, C)
    classes = np.arange(C, like=x.array).reshape(-1, *[1] * (y.ndim - 1))  # (C, 1, …) against (N, 1, …)
    q = (y[:, None] == classes) & kept[:, None]
    total = float(kept.sum()) if weight is None else float(weight.array[y[kept]].sum())
    return Tensor(q.astype(x.dtype)), total


@equation(
    "nn.nll_loss",
    r"l = -\frac{1}{W} \sum_{n=0}^{N-1} [y_n \ne I] \, w_{y_n} x_{n,y_n}, \quad W = " + KEPT_WEIGHT,
    symbols={**PAIR, "w": "weight", "I": "ignore_index"},
    shapes="x (N, C), y (N), w (C) → l ()",
    conventions=LABELS,
    unseen=("reduction",),
    base=0,
    outside={"x": 0, "w": 0},
)
@equation(
    "nn.nll_loss.vjp",
    r"\frac{\partial L}{\partial x_{nk}} = -\frac{G}{W} [k = y_n \ne I] \, w_k, \quad W = " + KEPT_WEIGHT,
)
@equation(
    "nn.nll_loss.of_probabilities",
    r"l = -\frac{1}{N} \sum_{n=0}^{N-1} \ln p_{n,y_n}",
    symbols={"p": "input", "y": "target"},
    shapes="p (N, C), y (N) → l ()",
    source="D3-a, D3-b, D4-a and D4-b, the listings",
    conventions="Keras' sparse_categorical_crossentropy of softmax outputs p: nll_loss(log(p), y). Not cross_entropy, which takes "
    "logits and would apply softmax a second time",
    base=0,
)
@equation("nn.nll_loss.of_probabilities.vjp", r"\frac{\partial L}{\partial p_{nk}} = -\frac{G}{N} \frac{[k = y_n]}{p_{nk}}")
def nll_loss(
    input: Tensor, target: Tensor, weight: Tensor | None = None, ignore_index: int = -100, reduction: str = "mean"
) -> Tensor:
    """l = −1/W Σₙ [yₙ ≠ I] w[yₙ] x[n,yₙ]      W = Σₙ [yₙ ≠ I] w[yₙ]      ∂L/∂xₙₖ = −G/W [k = yₙ ≠ I] wₖ

    input x: log-probabilities (N, C, …) or (C); target y: integers; I: ignore_index, whose labels have no loss. Of probabilities p,
    x = ln p: l = −1/N Σₙ ln p[n,yₙ]      ∂L/∂pₙₖ = −G/N [k = yₙ] / pₙₖ
    """
    name = "nll_loss"
    logits(name, input, target, weight)
    x = input if input.ndim > 1 else input.unsqueeze(0)
    q, total = one_hot_targets(name, input, target, weight, ignore_index)
    w = 1.0 if weight is None else weight.reshape(1, -1, *[1] * (x.ndim - 2))
    losses = -sum(where(q > 0, x * w, 0.0), dim=1)
    if reduction == "mean":
        return over(sum(losses), total)
    return reduced(name, losses if input.ndim > 1 else losses.reshape(()), reduction)
