"""Independent parallel training with fusion: models trained apart, each on its task, made one.      D4 §3.2

Three ways: `average` (one set of weights), `Ensemble` (all of them, their outputs averaged), and `mtl.Distillation` (one student
taught by all). Averaged weights make sense only near one another, and one start is not yet near: lesson 10 measures it.
"""

import copy
import math
from collections.abc import Mapping, Sequence
from typing import Any, TypeVar

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.equation import equation
from minimtl.grad_mode import no_grad
from minimtl.ops import log_softmax, logsumexp, stack

M = TypeVar("M", bound=nn.Module)


@equation(
    "mtl.weight_average",
    r"\bar\theta_i = \sum_{m=1}^{M} w_m \theta_{m,i}",
    symbols={"θ": "θ", "M": "w"},
    source="D4 §3.2; Wortsman et al. 2022",
    conventions="parameter i of M models; w adds up to 1, and is 1/M unless given",
)
def averaged(θ: Sequence[Array], w: Sequence[float]) -> Any:
    """θ̄ᵢ = Σₘ wₘ θₘᵢ"""
    return sum(wm * θm for wm, θm in zip(w, θ, strict=True))


def average(models: Sequence[M], weights: Sequence[float] | None = None) -> M:
    """A model whose parameters and floating-point buffers are the weighted means of the models'; integers are the first one's.

    The models must have the same parts; they stay as they are.
    """
    if not models:
        raise ValueError("average: needs at least one model")
    w = [1 / len(models)] * len(models) if weights is None else [float(a) for a in weights]
    if len(w) != len(models) or any(a < 0 for a in w) or abs(sum(w) - 1) > 1e-6:
        raise ValueError(f"average: {len(models)} models need as many weights ≥ 0 that add up to 1, got {w}")
    states = [model.state_dict() for model in models]
    shapes = [{key: t.shape for key, t in state.items()} for state in states]
    for i, found in enumerate(shapes):
        if found != shapes[0]:
            apart = sorted(key for key in {*found, *shapes[0]} if found.get(key) != shapes[0].get(key))
            raise ValueError(f"average: model {i} differs from model 0 in {apart}")
    fused = copy.deepcopy(models[0])
    with no_grad():
        for key, t in fused.state_dict().items():
            if t.dtype.kind == "f":
                t.copy_(Tensor(averaged([state[key].array for state in states], w).astype(t.dtype)))
    return fused


class Ensemble(nn.Module):
    """{task: Σₘ ŷₘ/M}      the mean over models of what they give for each task; models may have different tasks

    Of classifiers it averages probabilities where the names are in `classification`: the logarithm of the mean softmax, which is
    again what a cross-entropy takes.
    """

    def __init__(self, models: Sequence[nn.Module], classification: Sequence[str] = ()) -> None:
        if not models:
            raise ValueError("Ensemble: needs at least one model")
        self.models, self.classification = nn.ModuleList(models), list(classification)

    def forward(self, x: Any) -> dict[str, Any]:
        """The mean outputs of the models that have the task."""
        found: dict[str, list[Any]] = {}
        for model in self.models:
            own = {k: x[k] for k in x if k in getattr(model, "heads", x)} if isinstance(x, Mapping) else x
            for k, ŷ in model(own).items():
                found.setdefault(k, []).append(ŷ)
        return {k: self.mean(k, outputs) for k, outputs in found.items()}

    def mean(self, task: str, outputs: Sequence[Any]) -> Any:
        """The mean of outputs, or of the probabilities that they are the logarithms of."""
        if task not in self.classification:
            return sum(outputs[1:], outputs[0]) / len(outputs)
        logs = stack(
            [log_softmax(ŷ, dim=1) for ŷ in outputs]
        )  # a probability may be too small for a number, its logarithm is not
        return logsumexp(logs, dim=0) - math.log(len(outputs))
