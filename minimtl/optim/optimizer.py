"""What all optimisers share: groups of parameters with options, state per parameter, saving both."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from minimtl.autograd import Tensor, no_grad
from minimtl.backend import Array
from minimtl.ops import tensor_of

Group = dict[str, Any]


class Optimizer:
    """Subclasses say in `move` how one parameter takes one step; here stands which ones do.

    A parameter without a gradient, or one that no longer requires it, stays exactly as it is: no decay, no momentum.
    """

    def __init__(self, params: Iterable[Tensor] | Iterable[Group], **defaults: Any) -> None:
        for option, value in defaults.items():
            check_option(type(self).__name__, option, value)
        self.defaults = defaults
        self.param_groups: list[Group] = []
        self.state: dict[Tensor, dict[str, Any]] = {}
        given = list(params)
        if not given:
            raise ValueError(f"{type(self).__name__}: got no parameters")
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)  # type: ignore[arg-type]

    def add_param_group(self, param_group: Group) -> None:
        """Take in more parameters: a dict with "params" and, where they differ from the defaults, options."""
        name = type(self).__name__
        params = param_group["params"]
        params = [params] if isinstance(params, Tensor) else list(params)
        known = {p for group in self.param_groups for p in group["params"]}
        for p in params:
            if not isinstance(p, Tensor) or not p.is_leaf:
                raise TypeError(f"{name}: a parameter must be a leaf Tensor, got {type(p).__name__}")
            if p in known:
                raise ValueError(f"{name}: a parameter of shape {p.shape} stands in two places")
            known.add(p)
        options = {option: value for option, value in param_group.items() if option != "params"}
        unknown = sorted(set(options) - set(self.defaults) - {"initial_lr"})
        if unknown:
            raise ValueError(f"{name}: a group has unknown options {unknown}; there are {sorted(self.defaults)}")
        for option, value in options.items():
            check_option(name, option, value)
        self.param_groups.append({"params": params, **self.defaults, **options})

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget the gradients, or set them to 0."""
        for group in self.param_groups:
            for p in group["params"]:
                p.grad = None if set_to_none or p.grad is None else Tensor(np.zeros_like(p.grad.array))

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Move every parameter that has a gradient; a closure, if given, computes loss and gradients first."""
        loss = None if closure is None else closure()
        with no_grad():
            for group in self.param_groups:
                for p in group["params"]:
                    if p.grad is not None and p.requires_grad:
                        self.move(p.written(), p.grad.array, self.state.setdefault(p, {}), group)
        return loss

    def move(self, p: Array, g: Array, state: dict[str, Any], group: Group) -> None:
        """One step of one parameter: write to p; g, its gradient, is not written to."""
        raise TypeError(f"{type(self).__name__} defines no move")

    def state_dict(self) -> dict[str, Any]:
        """Options and state, parameters numbered in the order of the groups, as in PyTorch; a copy."""
        params = [p for group in self.param_groups for p in group["params"]]
        number = {p: i for i, p in enumerate(params)}
        groups = [{**group, "params": [number[p] for p in group["params"]]} for group in self.param_groups]
        state = {number[p]: {k: copied(v) for k, v in s.items()} for p, s in self.state.items()}
        return {"state": state, "param_groups": groups}

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Continue from a saved state; where its groups or shapes do not fit nothing changes."""
        name, groups = type(self).__name__, state_dict["param_groups"]
        sizes, own = [len(g["params"]) for g in groups], [len(g["params"]) for g in self.param_groups]
        if sizes != own:
            raise ValueError(f"{name}: the saved groups have {sizes} parameters, this optimiser's have {own}")
        params = [p for group in self.param_groups for p in group["params"]]
        state = {}
        for i, saved in state_dict["state"].items():
            p = params[int(i)]
            state[p] = {k: tensor_of(v).array.copy() if isinstance(v, Tensor | np.ndarray) else v for k, v in saved.items()}
            for k, v in state[p].items():
                if isinstance(v, np.ndarray) and v.shape not in (p.shape, ()):
                    raise ValueError(f"{name}: the saved {k} of parameter {i} has shape {v.shape}, the parameter {p.shape}")
        self.state = state
        for group, saved in zip(self.param_groups, groups, strict=True):
            group.update({k: v for k, v in saved.items() if k != "params"})

    def __repr__(self) -> str:
        groups = [{k: v for k, v in g.items() if k != "params"} | {"params": len(g["params"])} for g in self.param_groups]
        return f"{type(self).__name__}({', '.join(map(str, groups))})"


def copied(value: Any) -> Any:
    """An array of the state as a Tensor of its own; a number as it is."""
    return Tensor(value.copy()) if hasattr(value, "copy") else value


def check_option(name: str, option: str, value: Any) -> None:
    """Rates and decays are not negative, betas lie in [0, 1)."""
    if option in ("lr", "eps", "weight_decay", "momentum", "alpha") and not value >= 0:
        raise ValueError(f"{name}: {option} must not be negative, got {value}")
    if option == "betas" and not all(0 <= b < 1 for b in value):
        raise ValueError(f"{name}: betas must lie in [0, 1), got {value}")
