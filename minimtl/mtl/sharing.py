"""What tasks share: hard sharing, one trunk φ under a head θₖ for each task."""

from collections.abc import Iterator, Mapping
from typing import Any

from minimtl import nn
from minimtl.mtl.objective import f


class HardSharing(nn.Module):
    """ŷₖ = fₖ(x; θₖ, φ) = θₖ(φ(x))      x → {task: ŷₖ}; or {task: xₖ} → {task: ŷₖ}, where tasks have inputs of their own

    φ: `shared`, θₖ: `heads[task]`.      D0-a, D1 §3.2
    """

    def __init__(self, shared: nn.Module, heads: Mapping[str, nn.Module]) -> None:
        if not isinstance(heads, Mapping) or not heads:
            raise ValueError(f"HardSharing: heads must be {{name: module}}, at least one, got {heads!r}")
        self.shared = shared
        self.heads = nn.ModuleDict(heads)
        owners: dict[nn.Parameter, str] = dict.fromkeys(shared.parameters(), "shared")
        for k, head in self.heads.items():
            for p in head.parameters():
                if owners.setdefault(p, k) != k:
                    raise ValueError(f"HardSharing: head {k!r} has a parameter of shape {p.shape} of {owners[p]!r}")

    def forward(self, x: Any) -> dict[str, Any]:
        """The outputs of all tasks, φ evaluated once; with inputs per task, those of the tasks that have one."""
        φ, θ = self.shared, self.heads
        if isinstance(x, Mapping):
            return {k: f(x[k], θ[k], φ) for k in x}
        return self.outputs(self.features(x))

    def features(self, x: Any) -> Any:
        """z = φ(x)"""
        return self.shared(x)

    def outputs(self, z: Any) -> dict[str, Any]:
        """{task: θₖ(z)}"""
        return {k: θk(z) for k, θk in self.heads.items()}

    def shared_parameters(self) -> Iterator[nn.Parameter]:
        """φ"""
        return self.shared.parameters()

    def task_parameters(self, task: str) -> Iterator[nn.Parameter]:
        """θₖ"""
        return self.heads[task].parameters()
