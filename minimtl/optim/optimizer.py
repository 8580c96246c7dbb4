"""What all optimisers share: groups of parameters with options, state per parameter, saving both."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.backend import Array, is_array, to_device
from minimtl.grad_mode import no_grad
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
        if isinstance(params, Tensor):
            raise TypeError(f"{type(self).__name__}: needs a list of parameters, got a Tensor")
        given = list(params)
        if not given:
            raise ValueError(f"{type(self).__name__}: got no parameters")
        for group in given if isinstance(given[0], dict) else [{"params": given}]:
            self.add_param_group(group)  # type: ignore[arg-type]

    def add_param_group(self, param_group: Group) -> None:
        """Take in more parameters: a dict with "params" and, where they differ from the defaults, options."""
        name = type(self).__name__
        if not isinstance(param_group, dict) or "params" not in param_group:
            raise TypeError(f'{name}: a group must be a dict with "params", got {param_group!r}')
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
        every = [(p, group) for group in self.param_groups for p in group["params"]]
        moving = [(p, p.grad, group) for p, group in every if p.grad is not None and p.requires_grad]
        for p, g, _ in moving:
            if g.shape != p.shape or g.dtype != p.dtype:
                raise ValueError(
                    f"{type(self).__name__}: a gradient of {g.dtype} {g.shape} for a parameter of {p.dtype} {p.shape}"
                )
        with no_grad(), np.errstate(all="ignore"):
            for p, g, group in moving:
                self.move(p._written(), g.array, self.state.setdefault(p, {}), group)
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
        name = type(self).__name__
        if not isinstance(state_dict, Mapping) or not {"state", "param_groups"} <= set(state_dict):
            raise ValueError(f'{name}: needs a mapping with "state" and "param_groups", got {type(state_dict).__name__}')
        groups = state_dict["param_groups"]
        for saved in groups:
            if set(saved) - {"params", "initial_lr"} != set(self.defaults):
                raise ValueError(f"{name}: a saved group has the options {sorted(saved)}, needed are {sorted(self.defaults)}")
        sizes, own = [len(g["params"]) for g in groups], [len(g["params"]) for g in self.param_groups]
        if sizes != own:
            raise ValueError(f"{name}: the saved groups have {sizes} parameters, this optimiser's have {own}")
        params = [p for group in self.param_groups for p in group["params"]]
        state = {}
        for i, saved in state_dict["state"].items():
            if int(i) not in range(len(params)):
                raise ValueError(f"{name}: there is saved state of parameter {i}, but there are {len(params)} parameters")
            p = params[int(i)]
            state[p] = {k: placed(v, p) if isinstance(v, Tensor) or is_array(v) else v for k, v in saved.items()}
            for k, v in state[p].items():
                if is_array(v) and v.shape not in (p.shape, ()):
                    raise ValueError(f"{name}: the saved {k} of parameter {i} has shape {v.shape}, the parameter {p.shape}")
        self.state = state
        for group, saved in zip(self.param_groups, groups, strict=True):
            group.update({k: v for k, v in saved.items() if k != "params"})

    def __repr__(self) -> str:
        groups = [{k: v for k, v in g.items() if k != "params"} | {"params": len(g["params"])} for g in self.param_groups]
        return f"{type(self).__name__}({', '.join(map(str, groups))})"


def placed(value: Any, p: Tensor) -> Array:
    """A copy of saved state in the dtype and on the device of its parameter."""
    return to_device(tensor_of(value).array, p.device).astype(p.dtype)


def copied(value: Any) -> Any:
    """An array of the state as a Tensor of its own; a number as it is."""
    return Tensor(value.copy()) if hasattr(value, "copy") else value


def check_option(name: str, option: str, value: Any) -> None:
    """Rates and decays are numbers that are not negative, betas two numbers in [0, 1)."""
    number = (int, float, np.number)
    if option in ("lr", "eps", "weight_decay", "momentum", "alpha") and not (isinstance(value, number) and value >= 0):
        raise ValueError(f"{name}: {option} must be a number ≥ 0, got {value!r}")
    if option == "betas":
        betas = value if isinstance(value, (tuple, list)) else ()
        if len(betas) != 2 or not all(isinstance(b, number) and 0 <= b < 1 for b in betas):
            raise ValueError(f"{name}: betas must be two numbers in [0, 1), got {value!r}")
