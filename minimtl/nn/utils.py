"""What is done with a module as a whole: called with other parameters, evaluated, its gradients clipped."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from typing import Any

import numpy as np

from minimtl.autograd import Tensor
from minimtl.equation import equation
from minimtl.grad_mode import no_grad
from minimtl.nn.module import Module, dotted


def standing(module: Module) -> dict[str, Tensor]:
    """The parameters by all their dotted names; within `functional_call` the tensors that stand in their places."""
    return {
        dotted(path, name): value
        for path, part in module.named_modules(remove_duplicate=False)
        for name, value in vars(part).items()
        if isinstance(value, Tensor) and name not in vars(part).get("_buffers", {})
    }


def put(module: Module, tensors: Mapping[str, Tensor]) -> list[tuple[dict[str, Any], str, Tensor]]:
    """Put tensors where the module has the parameters with these dotted names, everywhere; returns what stood where."""
    own = standing(module)
    unknown = sorted(set(tensors) - set(own))
    if unknown:
        raise ValueError(f"{type(module).__name__} has no parameters {unknown}; it has {list(own)}")
    for name, t in tensors.items():
        if not isinstance(t, Tensor):
            raise TypeError(f"functional_call: {name} must be a Tensor, got {type(t).__name__}")
    modules, new = dict(module.named_modules(remove_duplicate=False)), {own[name]: t for name, t in tensors.items()}
    if len(new) < len(tensors):
        raise ValueError(f"functional_call: of the names {sorted(tensors)} two are of one parameter")
    stood = []
    for name, p in own.items():
        if p in new:
            path, _, last = name.rpartition(".")
            stood.append((vars(modules[path]), last, p))
            vars(modules[path])[last] = new[p]
    return stood


def functional_call(
    module: Module, parameters: Mapping[str, Tensor], args: Any = (), kwargs: Mapping[str, Any] | None = None
) -> Any:
    """module(*args, **kwargs) with tensors in the place of its parameters, by dotted name: a model as a function f(x; θ).

    As `torch.func.functional_call`: gradients go to the tensors, parameters that are not named stay, and afterwards all are
    what they were. A single argument needs no tuple. Buffers are the module's own. During the call the tensors are attributes,
    which `module.parameters()` does not list: it lists Parameters.
    """
    stood = put(module, parameters)
    try:
        return module(*(args if isinstance(args, tuple) else (args,)), **(kwargs or {}))
    finally:
        for space, name, p in stood:
            space[name] = p


@contextmanager
def evaluating(module: Module) -> Iterator[None]:
    """The module in evaluation mode, and no graph recorded; afterwards every part is in the mode that it had."""
    modes = {part: part.training for part in module.modules()}
    module.eval()
    try:
        with no_grad():
            yield
    finally:
        for part, mode in modes.items():
            part.training = mode


@contextmanager
def wrapping(module: Module, wrappers: Mapping[str, Callable[[Callable[..., Any]], Callable[..., Any]]]) -> Iterator[None]:
    """Within the context the parts of these dotted names compute w(forward)(…) where they compute forward(…): {name: w}."""
    parts, stood = parts_named("wrapping", module, wrappers), list[tuple[dict[str, Any], Any]]()
    try:
        for name, wrapper in wrappers.items():
            space = vars(parts[name])
            stood.append((space, space.get("forward")))  # not None in another context
            space["forward"] = wrapper(parts[name].forward)
        yield
    finally:
        for space, forward in reversed(stood):
            space.pop("forward") if forward is None else space.update(forward=forward)


def parts_named(what: str, module: Module, names: Iterable[str]) -> dict[str, Module]:
    """All parts by all their dotted names, among which the names are."""
    parts = dict(module.named_modules(remove_duplicate=False))
    unknown = [name for name in names if name not in parts]
    if unknown:
        raise ValueError(f"{what}: {type(module).__name__} has no parts {unknown}; it has {list(parts)[1:]}")
    return parts


@contextmanager
def capturing(module: Module, *names: str) -> Iterator[dict[str, Any]]:
    """Within the context, what the parts of these dotted names gave when they were last called: {name: output}.

    with nn.utils.capturing(model, "layer4") as outputs:
        y = model(x)
    z = outputs["layer4"]
    """
    outputs = dict[str, Any]()

    def watched(name: str, forward: Callable[..., Any]) -> Callable[..., Any]:
        def run(*args: Any, **kwargs: Any) -> Any:
            outputs[name] = forward(*args, **kwargs)
            return outputs[name]

        return run

    parts_named("capturing", module, names)
    if not names:
        raise ValueError("capturing: needs the name of a part, got none")
    with wrapping(module, {name: partial(watched, name) for name in names}):
        yield outputs


def with_grad(parameters: Tensor | Iterable[Tensor]) -> list[Tensor]:
    """The parameters that have a gradient."""
    return [p for p in ([parameters] if isinstance(parameters, Tensor) else parameters) if p.grad is not None]


@equation(
    "nn.clip_grad_norm",
    r"g'_i = g_i \min(1, \frac{c}{N + 10^{-6}}), \quad N = \lVert g \rVert_p",
    symbols={"g": "parameters", "c": "max_norm", "p": "norm_type"},
    source="Pascanu et al. 2013",
    conventions="g are all gradients as one vector; of p = ∞ the norm is the largest |gᵢ|; where N is NaN, so is g′",
)
@equation(
    "nn.clip_grad_norm.total",
    r"N = \left( \sum_{i=1}^{n} |g_i|^p \right)^{1/p}",
    symbols={"g": "parameters", "p": "norm_type"},
    shapes="g (n)",
    conventions="what is returned: the norm before",
)
def clip_grad_norm_(parameters: Tensor | Iterable[Tensor], max_norm: float, norm_type: float = 2.0) -> Tensor:
    """g′ᵢ = gᵢ min(1, c / (N + 10⁻⁶)), g all gradients as one vector; returns N = (Σᵢ |gᵢ|ᵖ)^{1/p}

    c: max_norm, p: norm_type. Where N is NaN, so is g′.
    """
    if max_norm < 0:
        raise ValueError(f"clip_grad_norm_: max_norm must not be negative, got {max_norm}")
    found = with_grad(parameters)
    with np.errstate(all="ignore"):
        sizes = [float(np.linalg.norm(p.grad.array.reshape(-1), norm_type)) for p in found if p.grad is not None]
        total = float(np.linalg.norm(np.array(sizes), norm_type)) if sizes else 0.0
    scale = max_norm / (total + 1e-6)
    for p in found if scale < 1 or math.isnan(scale) else ():
        p.grad = p.grad * scale if p.grad is not None else None
    return Tensor(np.asarray(total, dtype=found[0].dtype if found else np.float32))


@equation(
    "nn.clip_grad_value",
    r"g'_i = \min(\max(g_i, -c), c)",
    symbols={"g": "parameters", "c": "clip_value"},
)
def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """g′ᵢ = min(max(gᵢ, −c), c)      c: clip_value"""
    if clip_value < 0:
        raise ValueError(f"clip_grad_value_: clip_value must not be negative, got {clip_value}")
    for p in with_grad(parameters):
        p.grad = p.grad.clip(-clip_value, clip_value) if p.grad is not None else None
