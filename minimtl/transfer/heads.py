"""A new task on an old trunk: its head replaced, or resized so that the classes that stay keep what was learnt of them."""

import difflib
from collections.abc import Sequence
from typing import TypeVar

from minimtl import nn
from minimtl.autograd import Tensor
from minimtl.grad_mode import no_grad

M = TypeVar("M", bound=nn.Module)


def replace_head(model: M, name: str, head: nn.Module) -> M:
    """Put another module in the place of the part with this dotted name, as "fc" or "heads.digit"; returns the model.

    Where both are linear layers the new one must take as many features. It is as it was made: not frozen, though all else may be.
    """
    old = part_of(model, name)
    wants, has = getattr(head, "in_features", None), getattr(old, "in_features", None)
    if wants is not None and has is not None and wants != has:
        raise ValueError(f"replace_head: {name!r} gets {has} features, the new head takes {wants}")
    *owners, last = name.split(".")
    for n in range(len(owners) + 1):
        owner = part_of(model, ".".join(owners[:n]))
        owner.frozen = False  # with a new part it is not frozen whole
    setattr(owner, last, head)
    return model


def resize_head(model: M, name: str, keep: Sequence[int | None]) -> M:
    """A linear head of len(keep) classes in the place of another: class i is what class keep[i] was, or new where that is None.

    resize_head(model, "fc", [3, 5, None]): the classes 3 and 5 become 0 and 1, a third is drawn anew. Returns the model.
    """
    old = part_of(model, name)
    if not isinstance(old, nn.Linear):
        raise TypeError(f"resize_head: {name!r} must be a Linear, is a {type(old).__name__}")
    classes = old.out_features
    wrong = [i for i in keep if i is not None and not (isinstance(i, int) and 0 <= i < classes)]
    if wrong or not keep:
        raise ValueError(
            f"resize_head: keep must name classes from 0 to {classes - 1}, or None for a new one, got {list(keep)}"
        )
    head = nn.Linear(old.in_features, len(keep), bias=old.bias is not None).to(old.weight.dtype)
    rows = [(i, j) for i, j in enumerate(keep) if j is not None]
    with no_grad():
        for new, source in zip(head.parameters(), [t for t in (old.weight, old.bias) if t is not None], strict=True):
            numbers = new.array.copy()
            for i, j in rows:
                numbers[i] = source.array[j]
            new.copy_(Tensor(numbers))
    return replace_head(model, name, head)


def part_of(model: nn.Module, name: str) -> nn.Module:
    """The part with this dotted name."""
    parts = dict(model.named_modules(remove_duplicate=False))
    if name not in parts:
        near = difflib.get_close_matches(name, parts, n=3) or list(parts)[1:9]
        raise ValueError(f"{type(model).__name__} has no part {name!r}, but {near}")
    return parts[name]
