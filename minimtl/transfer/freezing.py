"""Freezing: parts of a model whose bytes no training changes, and through which gradients pass.      D0 §4.2

    transfer.freeze(model, except_="fc")           all but the head: D0-b
    transfer.freeze(model, "conv1", "layer[12]")   by name, or by a pattern of names
    transfer.freeze(model, through="layer2")       by depth: all that comes before the end of layer2
    transfer.freeze(model.shared)                  a module
    print(transfer.frozen(model))                  what is frozen: a table

`requires_grad_(False)` alone does less, here as in PyTorch: the statistics of batch normalisation go on moving in training mode, and
dropout goes on dropping. What `freeze` has frozen is a fixed function: in evaluation mode, where `train()` leaves it.
"""

import difflib
from collections.abc import Iterable, Iterator
from fnmatch import fnmatchcase
from typing import TypeVar

from minimtl.nn import Module
from minimtl.training import Table

M = TypeVar("M", bound=Module)
Patterns = str | Iterable[str]


def freeze(model: M, *names: str, except_: Patterns = (), through: str | None = None) -> M:
    """Freeze what is named, or all of the model, but for what `except_` names; returns the model.

    A name is dotted, of a part, which stands for all below it, or of a parameter; or a pattern of names, as "layer[12]", "*.bias".
    `through` names a part: all is frozen up to its end, in the order in which parts were assigned. Frozen parameters no longer
    require a gradient and lose the one they have, so that neither momentum nor weight decay moves them. A part is in evaluation mode
    for good if it is frozen whole, or all parameters of its own are. A parameter under two names, one frozen and one not, is refused.
    """
    wanted = matching(model, [*names, *parts_through(model, through)]) if names or through is not None else everything(model)
    spared = matching(model, [except_] if isinstance(except_, str) else except_)
    kept = {name for name in everything(model) - spared if not any(is_below(other, name) for other in spared)}
    parameters = dict(model.named_parameters(remove_duplicate=False))
    frozen = {p for name, p in parameters.items() if name in wanted - spared}
    both = [name for name, p in parameters.items() if p in frozen and name not in wanted - spared]
    if both:
        raise ValueError(f"freeze: {both} have another name, under which they are frozen")
    for p in frozen:
        p.requires_grad_(False)
        p.grad = None
    for name, module in model.named_modules(remove_duplicate=False):
        own = [p for n, p in parameters.items() if n.rpartition(".")[0] == name]
        if name in wanted & kept or (own and frozen.issuperset(own)):
            module.frozen, module.training = True, False
    return model


def unfreeze(model: M, *names: str) -> M:
    """Train again what is named, or all of the model; parts follow the next `train()` or `eval()`. Returns the model."""
    wanted = matching(model, names) if names else everything(model)
    for name, p in model.named_parameters(remove_duplicate=False):
        if name in wanted:
            p.requires_grad_()
    for name, module in model.named_modules(remove_duplicate=False):
        if any(is_below(other, name) for other in wanted):  # what has a part that is trained is not frozen whole
            module.frozen = False
    return model


def frozen(model: Module, depth: int = 1) -> Table:
    """A table of the parts down to so many dots, and the whole: how many parameters, how many of them are trained, in what mode."""
    if depth < 1:
        raise ValueError(f"frozen: depth must be at least 1, got {depth}")
    table = Table("What is trained", ["part", "parameters", "trainable", "mode"])
    rows = [(name, part) for name, part in model.named_modules() if name and name.count(".") < depth]
    for name, part in [*rows, ("all", model)]:
        sizes = [(p.numel(), p.requires_grad) for p in part.parameters()]
        mode = "frozen" if part.frozen else "training" if part.training else "evaluation"
        table.add(name, f"{sum(n for n, _ in sizes):,}", f"{sum(n for n, trained in sizes if trained):,}", mode)
    return table


def everything(model: Module) -> set[str]:
    """The dotted names of all parts, the model itself being "", and of all parameters."""
    parts = model.named_modules(remove_duplicate=False)
    return {name for named in (parts, model.named_parameters(remove_duplicate=False)) for name, _ in named}


def is_below(name: str, part: str) -> bool:
    """Whether the name is that of the part, or of something in it."""
    return part == "" or name == part or name.startswith(f"{part}.")


def matching(model: Module, patterns: Iterable[str]) -> set[str]:
    """The names that match a pattern, with all below them."""
    names, found = everything(model), set[str]()
    for pattern in patterns:
        tops = [name for name in names if name and fnmatchcase(name, pattern)]
        if not tops:
            near = difflib.get_close_matches(pattern, names, n=3) or sorted(name for name in names if name)[:9]
            raise ValueError(f"{type(model).__name__} has no part or parameter {pattern!r}, but {near}")
        found |= {name for name in names if any(is_below(name, top) for top in tops)}
    return found


def parts_through(model: Module, last: str | None) -> Iterator[str]:
    """The names of all parts that hold no others, up to the end of one."""
    if last is None:
        return
    matching(model, [last])
    names, reached = [name for name, _ in model.named_modules(remove_duplicate=False) if name], False
    for name in names:
        reached = reached or is_below(name, last)
        if reached and not is_below(name, last):
            return
        if not any(other != name and is_below(other, name) for other in names):
            yield name
