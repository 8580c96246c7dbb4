"""θ + θ′: an update with parameters of its own beside a pretrained θ, which stays.      D3 §3.2

tuned = transfer.Delta(model, {"*": transfer.full})                               θ′ of every parameter: D3 §3.2
tuned = transfer.Delta(model, {"*.bias": transfer.full})                          of biases alone: BitFit
tuned = transfer.Delta(model, {"layer4": transfer.lora(r=4), "fc": transfer.itself})
optimizer = optim.AdamW(tuned.update.parameters(), lr=1e-3)
…
mm.save(tuned.update.state_dict(), "update.npz")                                  θ′ alone
model = tuned.merge()                                                             θ ← θ + θ′
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.backend import Array
from minimtl.grad_mode import no_grad
from minimtl.nn.utils import functional_call, standing, wrapping
from minimtl.ops import zeros_like
from minimtl.transfer.freezing import freeze, is_below, matching

Thing = nn.Module | nn.Parameter
Make = Callable[[Any], Thing | None]


def full(p: Any) -> nn.Parameter | None:
    """θ′ = 0 of a parameter's own shape: from there an optimiser without weight decay walks the path of fine-tuning, `tl.delta_path`"""
    return nn.Parameter(zeros_like(p)) if isinstance(p, nn.Parameter) else None


def itself(thing: Any) -> Thing:
    """No update: the part, or parameter, is trained itself and saved with θ′, as a new head."""
    found: Thing = thing
    return found


class Delta(nn.Module):
    """f(x; θ + θ′)      θ: `model`, frozen as by `transfer.freeze`; θ′: `update`, whose names are those of what it updates; D3 §3.2

    updates: {name or pattern of names, as for `freeze`: a function that makes θ′ of a part or of a parameter}. It is asked for what the
    pattern matches and for all below it, from the outside in, and gives None where it has nothing; below a part for which it gave an
    update it is not asked. There are `full`, `itself`, `lora(…)` and `adapter(…)`; one of your own may give a Parameter, that is
    added to a parameter, or a module that is called with (part, x, y) and gives what stands for y, the output of the part for x.

    θ is a fixed function: normalisation by stored statistics, no dropout in it. `update` trains in training mode.
    """

    def __init__(self, model: nn.Module, updates: Mapping[str, Make]) -> None:
        if not isinstance(model, nn.Module) or not isinstance(updates, Mapping) or not updates:
            raise TypeError(
                f"Delta: needs a module and {{name: function that makes θ′}}, got {type(model).__name__}, {updates!r}"
            )
        found = dict[str, tuple[Thing, Thing]]()  # name → what is updated, and by what
        for pattern, make in updates.items():
            for name, made in updates_of(model, pattern, make).items():
                if any(made[0] is other for other, _ in found.values()):
                    raise ValueError(f"Delta: {pattern!r} makes another update of {name!r}, which has one")
                found[name] = made
        own = [name for name, (thing, update) in found.items() if thing is update]
        both = [name for name in found for part in own if name != part and is_below(name, part)]
        if both:
            raise ValueError(f"Delta: {both} are parts of what is trained itself, {own}, and have an update too")
        tree = nn.Module()
        like = next(model.parameters(), None)
        for name in sorted(found, key=lambda name: name.count(".")):
            thing, update = found[name]
            if isinstance(update, nn.Module) and update is not thing and like is not None:
                update.to(str(like.dtype)).to(like.device)
            place(tree, name, update)
        self.model = freeze(model, except_=own) if own else freeze(model)
        self.update = tree
        self.added = [name for name, (_, u) in found.items() if isinstance(u, nn.Parameter) and name not in own]
        self.around = [name for name, (_, u) in found.items() if isinstance(u, nn.Module) and name not in own]
        self.kept: dict[str, Array] | None = None  # θ, while θ + θ′ stands in its place

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """f(x; θ + θ′); once merged the model's own output, which is that."""
        if self.kept is not None:
            return self.model(*args, **kwargs)
        θ, θʹ = standing(self.model), standing(self.update)
        parts = dict(self.model.named_modules(remove_duplicate=False))
        updates = dict(self.update.named_modules(remove_duplicate=False))
        moved = {name: θ[name] + θʹ[name] for name in self.added}
        with wrapping(self.model, {name: partial(changed, parts[name], updates[name]) for name in self.around}):
            return functional_call(self.model, moved, args, kwargs)

    def merge(self) -> nn.Module:
        """θ ← θ + θ′, so that the model alone gives the same, but for rounding, at no cost; returns the model

        Until `unmerge` θ is kept beside it, and θ′ has no effect. Only what is added to parameters can be merged: `full` and `lora`.
        """
        if self.kept is not None:
            raise RuntimeError("Delta: θ′ is merged already")
        θ = standing(self.model)
        with no_grad():
            merged = {name: θ[name] + d for name, d in self.differences().items()}
        wrong = [name for name, t in merged.items() if not np.isfinite(t.array).all()]
        if wrong:
            raise FloatingPointError(f"Delta: θ + θ′ of {wrong} is not finite")
        self.kept = {name: θ[name].array.copy() for name in merged}
        with no_grad():
            for name, t in merged.items():
                θ[name].copy_(t)
        return self.model

    def unmerge(self) -> None:
        """θ as it was before `merge`, to the last bit, with θ′ beside it again"""
        if self.kept is None:
            raise RuntimeError("Delta: θ′ is not merged")
        θ = standing(self.model)
        with no_grad():
            for name, a in self.kept.items():
                θ[name].copy_(Tensor(a))
        self.kept = None

    def differences(self) -> dict[str, Tensor]:
        """θ′ by the name of the parameter that it is added to, all of its shape."""
        θ, θʹ = standing(self.model), standing(self.update)
        parts, updates = dict(self.model.named_modules(remove_duplicate=False)), dict(self.update.named_modules())
        made = {name: getattr(updates[name], "difference", None) for name in self.around}
        unable = [name for name, difference in made.items() if difference is None]
        if unable:
            raise ValueError(f"Delta: the updates of {unable} are layers of their own, and no difference of parameters")
        found: dict[str, Tensor] = {name: θʹ[name] for name in self.added}
        for name, difference in made.items():
            weight = f"{name}.weight"
            others = [n for n, p in θ.items() if p is θ[weight] and parts[n.rpartition(".")[0]] is not parts[name]]
            if others:
                raise ValueError(f"Delta: {weight!r} is also {others}, which its update leaves alone: it cannot be merged")
            d = difference()  # type: ignore[misc]
            found[weight] = found[weight] + d if weight in found else d
        return found


def updates_of(model: nn.Module, pattern: str, make: Make) -> dict[str, tuple[Thing, Thing]]:
    """name → a part or parameter, and the update made of it, for all that the pattern matches; at least one."""
    names, found = matching(model, [pattern]), dict[str, tuple[Thing, Thing]]()
    things: list[tuple[str, Thing]] = [
        *model.named_modules(remove_duplicate=False),
        *model.named_parameters(remove_duplicate=False),
    ]
    for name, thing in things:
        known = any(is_below(name, other) or thing is updated for other, (updated, _) in found.items())
        made = make(thing) if name in names and not known else None
        if made is not None:
            if not isinstance(made, nn.Module | nn.Parameter):
                raise TypeError(f"Delta: an update is a Module or a Parameter, got {type(made).__name__} for {name!r}")
            if isinstance(made, nn.Parameter) and (not isinstance(thing, nn.Parameter) or made.shape != thing.shape):
                raise ValueError(
                    f"Delta: an update of shape {made.shape} does not fit {name!r}, {getattr(thing, 'shape', 'a part')}"
                )
            found[name] = thing, made
    if not found:
        raise ValueError(f"Delta: among {pattern!r} there is nothing that its update fits: {sorted(names)[:9]}")
    return found


def place(tree: nn.Module, name: str, update: Thing) -> None:
    """Put the update under the dotted name."""
    *path, last = name.split(".")
    for step in path:
        if not isinstance(vars(tree).get(step), nn.Module):
            tree.add_module(step, nn.Module())
        tree = vars(tree)[step]
    if hasattr(tree, last):
        raise ValueError(f"Delta: the update of {name!r} has the name of a part of another update")
    setattr(tree, last, update)


def changed(part: nn.Module, update: nn.Module, forward: Callable[..., Any]) -> Callable[..., Any]:
    """The part's function with its update."""

    def run(x: Any, *args: Any, **kwargs: Any) -> Any:
        return update(part, x, forward(x, *args, **kwargs))

    return run
