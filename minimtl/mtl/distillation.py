"""Sharing by distillation: one student learns from a teacher for each task.      D1 §2.3

student = mtl.HardSharing(trunk, heads)
model = mtl.Distillation(student, {"digit": alone_on_digits, "parity": alone_on_parity})
tasks = [mtl.Task(k, loss=mtl.distilled(nn.CrossEntropyLoss()), metrics=["accuracy"]) for k in model.heads]
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.equation import equation
from minimtl.grad_mode import no_grad
from minimtl.nn.functional import kl_div, mse_loss
from minimtl.ops import log_softmax, softmax


class Taught(NamedTuple):
    """What a student gives, and what its teacher gives."""

    output: Tensor
    teacher: Tensor


class Distillation(nn.Module):
    """{task: ŷₖ} of the student; in training mode {task: Taught(ŷₖ, what the teacher of k says)}, for losses made by `distilled`

    A teacher gives one output, or {task: output}. Teachers are no parts of the model: they are not trained, saved or moved; the
    state_dict is the student's. They run in evaluation mode, whatever was said to them, and without gradients. Tasks without
    a teacher are given plainly.
    """

    def __init__(self, student: nn.Module, teachers: Mapping[str, nn.Module]) -> None:
        heads = getattr(student, "heads", {})
        unknown = sorted(set(teachers) - set(heads))
        if unknown or not teachers:
            raise ValueError(f"Distillation: needs teachers of tasks of the student, {list(heads)}, got {list(teachers)}")
        self.student: Any = student
        self.teachers = {k: (teacher,) for k, teacher in teachers.items()}  # in a tuple, so that it is no part

    @property
    def heads(self) -> Any:
        """The student's."""
        return self.student.heads

    def shared_parameters(self) -> Any:
        """φ of the student."""
        return self.student.shared_parameters()

    def task_parameters(self, task: str) -> Any:
        """θₖ of the student."""
        return self.student.task_parameters(task)

    def forward(self, x: Any) -> Any:
        """The student's outputs, in training mode beside their teachers'."""
        outputs = self.student(x)
        if not self.training:
            return outputs
        with no_grad():
            said = {
                k: teacher.eval()(x[k] if isinstance(x, Mapping) else x)
                for k, (teacher,) in self.teachers.items()
                if k in outputs
            }
        said = {k: y[k] if isinstance(y, Mapping) else y for k, y in said.items()}
        return {k: Taught(y, said[k]) if k in said else y for k, y in outputs.items()}


def distilled(
    loss: Callable[[Tensor, Tensor], Tensor], temperature: float = 2.0, weight: float = 0.5, classes: bool = True
) -> Callable[[Any, Tensor], Tensor]:
    """(1 − w) l(ŷ, y) + w d(ŷ, ŷ_teacher)      a loss for `Distillation`; of a plain output it is l

    d is `soft_targets` where outputs are logits of classes, else the mean squared difference.
    """
    if not (temperature > 0 and 0 <= weight <= 1):
        raise ValueError(f"distilled: needs temperature > 0 and weight in [0, 1], got {temperature} and {weight}")

    def both(output: Any, y: Tensor) -> Tensor:
        if not isinstance(output, Taught):
            return loss(output, y)
        student, teacher = output
        if classes and (student.ndim < 2 or student.shape[1] < 2):
            raise ValueError(f"distilled: of classes outputs are (N, C), C > 1, got {student.shape}; else pass classes=False")
        away = soft_targets(student, teacher, temperature) if classes else mse_loss(student, teacher)
        return (1 - weight) * loss(student, y) + weight * away

    return both


@equation(
    "mtl.distillation",
    r"d = \frac{T^2}{N} \sum_{n=1}^{N} \sum_{c=1}^{C} q_{nc} \ln \frac{q_{nc}}{p_{nc}}, "
    r"\quad q_{nc} = \frac{e^{t_{nc}/T}}{\sum_{a=1}^{C} e^{t_{na}/T}}, \quad p_{nc} = \frac{e^{s_{nc}/T}}{\sum_{a=1}^{C} e^{s_{na}/T}}",
    shapes="s (N, C), t (N, C) → d ()",
    source="Hinton, Vinyals, Dean 2015",
    conventions="s are the student's logits, t the teacher's, T the temperature; T² keeps gradients of one size",
)
def soft_targets(s: Tensor, t: Tensor, T: float) -> Tensor:
    """d = T²/N Σₙ Σ_c q[n,c] ln(q[n,c] / p[n,c])      (N, C), (N, C) → scalar

    q[n,c] = e^{t[n,c]/T} / (Σₐ e^{tₙₐ/T});  p[n,c] = e^{s[n,c]/T} / (Σₐ e^{sₙₐ/T})
    """
    return T * T * kl_div(log_softmax(s / T, dim=1), softmax(t / T, dim=1), reduction="batchmean")
