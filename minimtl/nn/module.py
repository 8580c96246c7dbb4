"""Module: parameters, buffers and other modules under the names of attributes, in the order in which they were assigned.

There is no registry beside the attributes: a `Parameter` or a `Module` that is an attribute is a part, a buffer is a Tensor
whose name was given to `register_buffer`.
"""

import difflib
from bisect import bisect
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Self, TypeVar

from minimtl.autograd import Tensor
from minimtl.backend import names_device
from minimtl.grad_mode import no_grad
from minimtl.ops import tensor_of, zeros_like

T = TypeVar("T")


class Parameter(Tensor):
    """A Tensor that belongs to a model and is trained: a leaf that requires a gradient."""

    __slots__ = ()

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        if not isinstance(data, Tensor):
            raise TypeError(f"Parameter: needs a Tensor, got {type(data).__name__}")
        super().__init__(data.array, requires_grad)
        self._version = data._version  # the memory is shared

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Keys(NamedTuple):
    """What `load_state_dict` did not use or did not find."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """A function with parameters. Subclasses assign their parts in `__init__` and compute in `forward`."""

    training = True
    frozen = False  # by `transfer.freeze`: then `train` leaves the module in evaluation mode
    shown: ClassVar[tuple[str, ...]] = ()  # attributes that the repr tells

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The value of the function."""
        raise TypeError(f"{type(self).__name__} defines no forward")

    # Parts

    def __setattr__(self, name: str, value: Any) -> None:
        old, buffers = vars(self).get(name), vars(self).get("_buffers", {})
        if isinstance(old, Parameter) and not isinstance(value, Parameter | None):
            raise TypeError(f"{name} is a Parameter: assign a Parameter or None, not a {type(value).__name__}")
        if isinstance(value, Parameter | Module):
            buffers.pop(name, None)
            if not isinstance(old, Parameter | Module):
                vars(self).pop(name, None)  # what was no part before stands behind the parts there are
        elif isinstance(old, Module) and value is not None:
            raise TypeError(f"{name} is a Module: assign a Module or None, not a {type(value).__name__}")
        elif name in buffers and not isinstance(value, Tensor | None):
            raise TypeError(f"{name} is a buffer: assign a Tensor or None, not a {type(value).__name__}")
        super().__setattr__(name, value)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Keep a Tensor that moves with the module, and is saved with it if persistent, but is not trained."""
        if not isinstance(tensor, Tensor | None):
            raise TypeError(f"{type(self).__name__}: buffer {name!r} must be a Tensor or None, got {type(tensor).__name__}")
        self.check_name(name, Tensor)
        setattr(self, name, tensor)
        vars(self).setdefault("_buffers", {})[name] = persistent

    def add_module(self, name: str, module: "Module") -> None:
        """Make the module a part under a name that need not be an identifier: "0", "digit"."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: part {name!r} must be a Module, got {type(module).__name__}")
        self.check_name(name, Module)
        setattr(self, name, module)

    def check_name(self, name: str, kind: type) -> None:
        """The name can be a part of a dotted name, and belongs to nothing of another kind."""
        taken = hasattr(type(self), name) if isinstance(name, str) else True
        if taken or not name or "." in name or not isinstance(vars(self).get(name), kind | None):
            raise KeyError(f"{type(self).__name__}: {name!r} cannot name a part (empty, with a dot, or an attribute already)")

    def parts(self) -> Iterator[tuple[str, "Module"]]:
        """The direct parts that are modules, by name, one that has two names under both."""
        return ((name, part) for name, part in vars(self).items() if isinstance(part, Module))

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The direct parts that are modules, by name, each once."""
        return unique(self.parts())

    def children(self) -> Iterator["Module"]:
        """The direct parts that are modules, each once."""
        return (part for _, part in self.named_children())

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, "Module"]]:
        """This module and all below it, by dotted name, parents before their parts; each once, or under all its names."""
        seen: set[Module] = set()
        stack = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if module not in seen or not remove_duplicate:
                seen.add(module)
                yield name, module
                stack += reversed([(dotted(name, child), part) for child, part in module.parts()])

    def modules(self) -> Iterator["Module"]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_parameters(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Parameter]]:
        """All parameters by dotted name, each once, or under all its names."""
        found = (
            (dotted(path, name), value)
            for path, module in self.named_modules(prefix, remove_duplicate)
            for name, value in vars(module).items()
            if isinstance(value, Parameter)
        )
        return unique(found) if remove_duplicate else found

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (p for _, p in self.named_parameters())

    def named_buffers(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """All buffers by dotted name, each once."""
        return unique(
            (dotted(path, name), vars(module)[name])
            for path, module in self.named_modules(prefix)
            for name in vars(module).get("_buffers", {})
            if vars(module).get(name) is not None
        )

    def buffers(self) -> Iterator[Tensor]:
        """All buffers."""
        return (b for _, b in self.named_buffers())

    # State

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers by PyTorch's keys, module by module; detached, in the module's own memory.

        What is shared stands under each of its names.
        """
        state: dict[str, Tensor] = {}
        for path, module in self.named_modules(remove_duplicate=False):
            own = {name: value for name, value in vars(module).items() if isinstance(value, Parameter)}
            own |= {name: vars(module).get(name) for name, kept in vars(module).get("_buffers", {}).items() if kept}
            state |= {dotted(path, name): value.detach() for name, value in own.items() if value is not None}
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Keys:
        """Copy the numbers in. All that does not fit is listed in one error, and then nothing has been copied.

        With strict=False missing and unexpected keys are returned instead; shapes must fit all the same.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"load_state_dict: needs a mapping from names to tensors, got {type(state_dict).__name__}")
        own = self.state_dict()
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
        near = nearest(missing, unexpected) if strict and unexpected else {}
        faults = [f"missing: {key}" + (f" (nearest: {near[key]})" if near else "") for key in missing] if strict else []
        faults += [f"unexpected: {key}" for key in unexpected] if strict else []
        values: dict[str, Tensor] = {}
        for key in [key for key in state_dict if key in own]:
            try:
                values[key] = tensor_of(state_dict[key])
            except (TypeError, ValueError) as error:
                faults.append(f"{key}: {error}")
                continue
            if values[key].shape != own[key].shape:
                faults.append(f"{key}: shape {values[key].shape} given, {own[key].shape} needed")
        if faults:
            raise RuntimeError("\n  ".join([f"load_state_dict: the state does not fit {type(self).__name__}:", *faults]))
        with no_grad():
            for key, value in values.items():
                own[key].copy_(value)
        return Keys(missing, unexpected)

    # Everything at once

    def apply(self, function: Callable[["Module"], object]) -> Self:
        """Call the function on all modules, parts before what they are part of."""
        for part in self.children():
            part.apply(function)
        function(self)
        return self

    def train(self, mode: bool = True) -> Self:
        """Training mode, or evaluation: it decides what dropout and batch normalisation do. What is frozen stays in evaluation."""
        for module in self.modules():
            module.training = mode and not module.frozen
        return self

    def eval(self) -> Self:
        """Evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for gradients of all parameters, or no longer. (Batch-norm statistics still move in training mode.)"""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Forget all gradients, or set them to 0."""
        for p in self.parameters():
            p.grad = None if set_to_none or p.grad is None else zeros_like(p.grad)

    def to(self, target: object) -> Self:
        """Floating-point parameters and buffers in another dtype, or everything on another device; the same Parameters."""
        dtype_only = not names_device(target)
        for t in [*self.parameters(), *self.buffers()]:
            if t.dtype.kind == "f" or not dtype_only:
                t.data = t.detach().to(target)
                t.grad = None if t.grad is None else t.grad.to(target)
        return self

    def float(self) -> Self:
        """In float32."""
        return self.to("float32")

    def double(self) -> Self:
        """In float64."""
        return self.to("float64")

    def cpu(self) -> Self:
        """On the CPU."""
        return self.to("cpu")

    def cuda(self) -> Self:
        """On the GPU."""
        return self.to("cuda")

    # Text

    def extra_repr(self) -> str:
        """What the repr tells of the module itself."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.shown)

    def __repr__(self) -> str:
        parts = [f"({name}): " + repr(part).replace("\n", "\n  ") for name, part in self.parts()]
        inside = "\n  ".join(["", self.extra_repr(), *parts] if self.extra_repr() else ["", *parts]) + "\n" if parts else ""
        return f"{type(self).__name__}({inside or self.extra_repr()})"


def dotted(path: str, name: str) -> str:
    """The name below the path."""
    return f"{path}.{name}" if path else name


def nearest(names: list[str], others: list[str]) -> dict[str, str]:
    """For each name the other one that is meant, perhaps: one that ends in the same parts, or stands beside it in the alphabet."""

    def tails(name: str) -> Iterator[str]:
        parts = name.split(".")[-8:]
        return (".".join(parts[i:]) for i in range(len(parts)))

    others = [other[:200] for other in others]  # of longer names the comparison takes minutes
    order, found = sorted(others), dict[str, str]()
    ending_so = {tail: other for other in sorted(others, key=len, reverse=True) for tail in tails(other)}
    for name in names:
        i = bisect(order, name)
        near = [ending_so[tail] for tail in tails(name) if tail in ending_so][:1] + order[max(i - 1, 0) : i + 1]
        whole = [other for other in near if other.endswith(f".{name}")]
        found[name] = (whole or difflib.get_close_matches(name, near, n=1, cutoff=0.0))[0]
    return found


def unique(named: Iterable[tuple[str, T]]) -> Iterator[tuple[str, T]]:
    """The pairs whose second member has not come before."""
    seen: set[T] = set()
    for name, value in named:
        if value not in seen:
            seen.add(value)
            yield name, value
