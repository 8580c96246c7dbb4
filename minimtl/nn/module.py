"""Module: parameters, buffers and other modules under the names of attributes, in the order in which they were assigned.

There is no registry beside the attributes: a `Parameter` or a `Module` that is an attribute is a part, a buffer is a Tensor
whose name was given to `register_buffer`.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, ClassVar, NamedTuple, Self

from minimtl.autograd import Tensor, no_grad
from minimtl.ops import tensor_of


class Parameter(Tensor):
    """A Tensor that belongs to a model and is trained: a leaf that requires a gradient."""

    __slots__ = ()

    def __init__(self, data: Tensor, requires_grad: bool = True) -> None:
        super().__init__(data.array, requires_grad)

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"


class Keys(NamedTuple):
    """What `load_state_dict` did not use or did not find."""

    missing_keys: list[str]
    unexpected_keys: list[str]


class Module:
    """A function with parameters. Subclasses assign their parts in `__init__` and compute in `forward`."""

    training = True
    shown: ClassVar[tuple[str, ...]] = ()  # attributes that the repr tells

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.forward(*args, **kwargs)

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The value of the function."""
        raise TypeError(f"{type(self).__name__} defines no forward")

    # Parts

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(vars(self).get(name), Parameter) and not isinstance(value, Parameter | None):
            raise TypeError(f"{name} is a Parameter: assign a Parameter or None, not a {type(value).__name__}")
        super().__setattr__(name, value)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Keep a Tensor that moves with the module, and is saved with it if persistent, but is not trained."""
        vars(self).setdefault("_buffers", {})[name] = persistent
        setattr(self, name, tensor)

    def add_module(self, name: str, module: "Module") -> None:
        """Make the module a part under a name that need not be an identifier: "0", "digit"."""
        if not isinstance(module, Module):
            raise TypeError(f"{type(self).__name__}: part {name!r} must be a Module, got {type(module).__name__}")
        if not isinstance(name, str) or not name or "." in name or hasattr(type(self), name):
            raise KeyError(f"{type(self).__name__}: {name!r} cannot name a part (empty, with a dot, or an attribute already)")
        setattr(self, name, module)

    def named_children(self) -> Iterator[tuple[str, "Module"]]:
        """The direct parts that are modules, by name."""
        return ((name, part) for name, part in vars(self).items() if isinstance(part, Module))

    def children(self) -> Iterator["Module"]:
        """The direct parts that are modules."""
        return (part for _, part in self.named_children())

    def named_modules(self, prefix: str = "") -> Iterator[tuple[str, "Module"]]:
        """This module and all below it, by dotted name, each once, parents before their parts."""
        seen: set[Module] = set()
        stack = [(prefix, self)]
        while stack:
            name, module = stack.pop()
            if module not in seen:
                seen.add(module)
                yield name, module
                stack += reversed([(dotted(name, child), part) for child, part in module.named_children()])

    def modules(self) -> Iterator["Module"]:
        """This module and all below it, each once."""
        return (module for _, module in self.named_modules())

    def named_parameters(self, prefix: str = "") -> Iterator[tuple[str, Parameter]]:
        """All parameters by dotted name, each once."""
        seen: set[Parameter] = set()
        for path, module in self.named_modules(prefix):
            for name, value in vars(module).items():
                if isinstance(value, Parameter) and value not in seen:
                    seen.add(value)
                    yield dotted(path, name), value

    def parameters(self) -> Iterator[Parameter]:
        """All parameters, each once."""
        return (p for _, p in self.named_parameters())

    def named_buffers(self, prefix: str = "", persistent_only: bool = False) -> Iterator[tuple[str, Tensor]]:
        """All buffers by dotted name."""
        for path, module in self.named_modules(prefix):
            for name, persistent in vars(module).get("_buffers", {}).items():
                value = getattr(module, name)
                if value is not None and (persistent or not persistent_only):
                    yield dotted(path, name), value

    def buffers(self) -> Iterator[Tensor]:
        """All buffers."""
        return (b for _, b in self.named_buffers())

    # State

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers by PyTorch's keys, module by module; detached, in the module's own memory."""
        state: dict[str, Tensor] = {}
        for path, module in self.named_modules():
            own = {name: value for name, value in vars(module).items() if isinstance(value, Parameter)}
            own |= {name: getattr(module, name) for name, kept in vars(module).get("_buffers", {}).items() if kept}
            state |= {dotted(path, name): value.detach() for name, value in own.items() if value is not None}
        return state

    def load_state_dict(self, state_dict: Mapping[str, Any], strict: bool = True) -> Keys:
        """Copy the numbers in. All that does not fit is listed in one error, and then nothing has been copied.

        With strict=False missing and unexpected keys are returned instead; shapes must fit all the same.
        """
        own = self.state_dict()
        missing = [key for key in own if key not in state_dict]
        unexpected = [key for key in state_dict if key not in own]
        faults = [f"missing: {key}" for key in missing] + [f"unexpected: {key}" for key in unexpected] if strict else []
        values = {key: tensor_of(value) for key, value in state_dict.items() if key in own}
        faults += [
            f"{key}: shape {tuple(value.shape)} given, {own[key].shape} needed"
            for key, value in values.items()
            if value.shape != own[key].shape
        ]
        if faults:
            raise RuntimeError("\n  ".join([f"load_state_dict: the state does not fit {type(self).__name__}:", *faults]))
        with no_grad():
            for key, value in values.items():
                own[key].copy_(value)
        return Keys(missing, unexpected)

    # Everything at once

    def apply(self, function: Callable[["Module"], object]) -> Self:
        """Call the function on all modules, parts before what they are part of."""
        for module in reversed(list(self.modules())):
            function(module)
        return self

    def train(self, mode: bool = True) -> Self:
        """Training mode, or evaluation: it decides what dropout and batch normalisation do."""
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Self:
        """Evaluation mode."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Self:
        """Ask for gradients of all parameters, or no longer. (Batch-norm statistics still move in training mode.)"""
        for p in self.parameters():
            p.requires_grad_(requires_grad)
        return self

    def zero_grad(self) -> None:
        """Forget all gradients."""
        for p in self.parameters():
            p.grad = None

    def to(self, target: object) -> Self:
        """Floating-point parameters and buffers in another dtype, or everything on another device; the same Parameters."""
        dtype_only = not (isinstance(target, str) and target.partition(":")[0] in ("cpu", "cuda"))
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
        parts = [f"({name}): " + repr(part).replace("\n", "\n  ") for name, part in self.named_children()]
        inside = "\n  ".join(["", self.extra_repr(), *parts] if self.extra_repr() else ["", *parts]) + "\n" if parts else ""
        return f"{type(self).__name__}({inside or self.extra_repr()})"


def dotted(path: str, name: str) -> str:
    """The name below the path."""
    return f"{path}.{name}" if path else name
