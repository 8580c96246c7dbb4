"""Training on a labelled source and an unlabelled target: L_source + λ d(z_s, z_t), z the features of either.

    model = adaptation.Alignment(trunk, nn.Linear(50, 10), adaptation.mmd)
    tasks = adaptation.tasks(nn.CrossEntropyLoss(), weight=1.0, metrics=["accuracy"])
    mtl.Trainer(model, tasks, optim.Adam(model.parameters())).fit({"source": labelled, "target": unlabelled}, epochs=5)
    model.eval()(x)                               # logits, whatever domain x is of

The distance is a function of two samples of features, of `distances` or your own, or a module, as `DANN`, which is trained as well.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.mtl.task import Task
from minimtl.ops import cat

DOMAINS = ("source", "target")


class Aligned(NamedTuple):
    """What the target gives in training: how far it is from the source, and no output, so that no metric is taken of its labels."""

    distance: Tensor
    output: None = None


class Alignment(nn.Module):
    """ŷ = θ(φ(x)); in training of {"source": x_s, "target": x_t}: {"source": ŷ_s, "target": Aligned(d(φ(x_s), φ(x_t)))}

    φ: trunk, x → (N, D); θ: head; d: distance. Two batches that are Tensors go through φ as one, so that a batch normalisation in it
    has the statistics of both, in training as in evaluation. In evaluation mode of {domain: x} it is {domain: ŷ}. Of anything else,
    in either mode, it is ŷ alone. A step with the source alone is one without a distance.
    """

    def __init__(self, trunk: nn.Module, head: nn.Module, distance: Callable[[Tensor, Tensor], Tensor]) -> None:
        if isinstance(distance, type) or not callable(distance):
            raise TypeError(f"Alignment: distance must be a function of two samples of features, or a module, got {distance!r}")
        self.trunk, self.head, self.distance = trunk, head, distance

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """φ"""
        return self.trunk.parameters()

    def task_parameters(self, task: str) -> Iterator[nn.Parameter]:
        """Of the source those of the head, of the target those of the distance, if it has any."""
        part = self.head if task == "source" else self.distance
        return part.parameters() if isinstance(part, nn.Module) else iter(())

    def forward(self, x: Any) -> Any:
        if not (isinstance(x, Mapping) and x and set(x) <= set(DOMAINS)):
            return self.head(self.trunk(x))
        if not self.training:
            return {k: self.head(self.trunk(xk)) for k, xk in x.items()}
        if "source" not in x:
            raise ValueError("Alignment: in training the target needs a batch of the source beside it")
        z = self.features(x)
        outputs = {"source": self.head(z["source"])}
        return {**outputs, "target": Aligned(self.distance(z["source"], z["target"]))} if "target" in x else outputs

    def features(self, x: Mapping[str, Any]) -> dict[str, Tensor]:
        """{domain: φ(x)}"""
        both = list(x.values())
        if len(both) < 2 or not all(isinstance(v, Tensor) for v in both) or both[0].shape[1:] != both[1].shape[1:]:
            return {k: self.trunk(v) for k, v in x.items()}
        z, n = self.trunk(cat(both)), len(both[0])
        return dict(zip(x, (z[:n], z[n:]), strict=True))


def tasks(loss: Callable[[Any, Tensor], Tensor], weight: float = 1.0, metrics: Sequence[str] = ()) -> list[Task]:
    """The tasks of an `Alignment`: L_source + λ d      loss: of the source; λ: weight

    The target's loader gives labels as every loader does, but in training only their number counts; let them be zeros where there are
    none. In evaluation "target loss" is the loss of its outputs, where "target loss" of training is d.
    """
    return [Task("source", loss, metrics=list(metrics)), Task("target", aligned(loss), weight, list(metrics))]


def aligned(loss: Callable[[Any, Tensor], Tensor]) -> Callable[[Any, Tensor], Tensor]:
    """d in training, where the output is `Aligned`; the loss of a plain output."""

    def either(output: Any, y: Tensor) -> Tensor:
        return output.distance if isinstance(output, Aligned) else loss(output, y)

    return either
