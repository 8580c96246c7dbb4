"""A classifier tells the domains apart, and the trunk learns to leave it nothing to tell: DANN, Ganin et al. 2016."""

import math

from minimtl import nn
from minimtl.autograd import Tensor, differentiable
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.grad_mode import is_grad_enabled
from minimtl.kernels.shared import Result
from minimtl.nn.functional import softplus
from minimtl.ops import cat, check, zeros
from minimtl.transfer.adaptation.distances import features


@equation("tl.reverse", r"y_i = x_i", shapes="x (n) → y (n)", source="Ganin, Lempitsky 2015")
@equation("tl.reverse.vjp", r"\frac{\partial L}{\partial x_i} = -\lambda G_i", symbols={"λ": "weight"})
@differentiable
def reverse(x: Array, weight: float = 1.0) -> Result:
    """yᵢ = xᵢ      ∂L/∂xᵢ = −λ Gᵢ      λ: weight; what lies above minimises L, what lies below maximises λL

    It is the derivative of no function: `testing.gradcheck` refuses it, rightly.
    """
    check.number("reverse", "weight", weight)
    return x, lambda G: -weight * G


@equation(
    "tl.ramp",
    r"\lambda = a + (b - a) (\frac{2}{1 + e^{-\gamma i / n}} - 1)",
    symbols={"a": "low", "b": "high", "γ": "alpha", "i": "step", "n": "steps"},
    source="Ganin et al. 2016",
    conventions="of the paper γ = 10, and n are all steps of the run: λ goes from 0 to almost 1",
)
def ramp(step: int, steps: int, alpha: float = 10.0, low: float = 0.0, high: float = 1.0) -> float:
    """λ = a + (b − a) (2 / (1 + e^{−γ i/n}) − 1)      from a at i = 0 towards b; a: low, b: high, γ: alpha, i: step, n: steps"""
    return low + (high - low) * (2 / (1 + math.exp(-alpha * step / steps)) - 1)


class DANN(nn.Module):
    """l = ½ (BCE_s + BCE_t) of a `classifier`, z → one logit, that sees the features through `reverse(z, λ)`      for `Alignment`

    The classifier learns to tell source, 1, from target, 0, at full rate, and the trunk to deceive it, λ times as fast. l near ln 2:
    it cannot tell them, be it that they are alike or that the classifier is weak. λ is `ramp` of the steps taken so far, a buffer, so
    that a run taken up again goes on where it was; `steps` should be those of the whole run. Calls without a graph do not count.
    """

    shown = ("steps", "alpha", "low", "high")
    taken: Tensor

    def __init__(self, classifier: nn.Module, steps: int, alpha: float = 10.0, low: float = 0.0, high: float = 1.0) -> None:
        if not isinstance(steps, int) or steps < 1:
            raise ValueError(f"DANN: steps must be an integer ≥ 1, those of the whole run, got {steps!r}")
        if not all(math.isfinite(v) and v >= 0 for v in (alpha, low, high)):
            raise ValueError(f"DANN: alpha, low and high must be finite and not negative, got {alpha}, {low} and {high}")
        self.classifier, self.steps, self.alpha, self.low, self.high = classifier, steps, alpha, low, high
        self.register_buffer("taken", zeros((), dtype="int64"))

    @property
    def weight(self) -> float:
        """λ of the next step."""
        return ramp(int(self.taken), self.steps, self.alpha, self.low, self.high)

    def forward(self, source: Tensor, target: Tensor) -> Tensor:
        features("DANN", source, target)
        logits = self.classifier(reverse(cat([source, target]), self.weight))
        n, m = len(source), len(target)
        if logits.numel() != n + m:
            raise ValueError(f"DANN: the classifier must give one logit a sample, of {n + m} samples it gave {logits.shape}")
        if self.training and is_grad_enabled():
            self.taken.add_(1)
        logits = logits.reshape(n + m)
        return domain_loss(logits[:n], logits[n:])


@equation(
    "tl.dann",
    r"l = -\frac{1}{2 N} \sum_{n=1}^{N} \ln \sigma(u_n) - \frac{1}{2 M} \sum_{m=1}^{M} \ln(1 - \sigma(v_m)), "
    r"\quad \sigma(x) = \frac{1}{1 + e^{-x}}",
    shapes="u (N), v (M) → l ()",
    source="Ganin et al. 2016",
    conventions="u are the logits of the source, v those of the target; either domain counts half, however many samples it has",
)
def domain_loss(u: Tensor, v: Tensor) -> Tensor:
    """l = −1 / (2 N) · Σₙ ln σ(uₙ) − 1 / (2 M) · Σₘ ln(1 − σ(vₘ))      ½ (BCE_s + BCE_t), logits (N), (M) → scalar"""
    return 0.5 * (softplus(-u).mean() + softplus(v).mean())
