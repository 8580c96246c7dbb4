"""Hard sharing: one trunk φ under a head θₖ for each task."""

from collections.abc import Mapping, Sequence
from typing import Any

from minimtl import nn
from minimtl.mtl.objective import f
from minimtl.mtl.sharing.base import Sharing


class HardSharing(Sharing):
    """ŷₖ = fₖ(x; θₖ, φ) = θₖ(φ(x))      φ: `shared`, θₖ: `heads[task]`; D0-a, D1 §3.2

    Its two halves are `features`, z = φ(x), and `outputs`, {task: θₖ(z)}: between them stands the representation.
    """

    def __init__(self, shared: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        super().__init__(heads)
        self.shared = shared
        self.check_owners()

    def task_features(self, x: Any, tasks: Sequence[str]) -> dict[str, Any]:
        return dict.fromkeys(tasks, self.features(x))

    def forward(self, x: Any) -> dict[str, Any]:
        """The outputs of all tasks, φ evaluated once; with inputs per task, those of the tasks that have one."""
        if isinstance(x, Mapping):
            return {k: f(x[k], self.heads[k], self.shared) for k in x}
        return self.outputs(self.features(x))

    def features(self, x: Any) -> Any:
        """z = φ(x)"""
        return self.shared(x)

    def outputs(self, z: Any) -> dict[str, Any]:
        """{task: θₖ(z)}"""
        return {k: θk(z) for k, θk in self.heads.items()}
