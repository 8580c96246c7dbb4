"""Modules made of modules: in sequence, in a list, in a dictionary."""

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, overload

from minimtl.nn.module import Module


class Container(Module):
    """Parts counted from "0"."""

    def __init__(self, modules: Iterable[Module] = ()) -> None:
        for module in modules:
            self.append(module)

    def append(self, module: Module) -> "Container":
        """Add a part at the end."""
        self.add_module(str(len(self)), module)
        return self

    def __len__(self) -> int:
        return len(list(self.children()))

    def __iter__(self) -> Iterator[Module]:
        return self.children()

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> "Container": ...
    def __getitem__(self, index: int | slice) -> "Module | Container":
        parts = list(self)
        if isinstance(index, slice):
            part = type(self)()
            Container.__init__(part, parts[index])
            return part
        return parts[index]

    def __setitem__(self, index: int, module: Module) -> None:
        self.add_module(str(range(len(self))[index]), module)


class Sequential(Container):
    """y = fₙ(… f₂(f₁(x)))"""

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            super().__init__(modules)  # type: ignore[arg-type]

    def forward(self, x: Any) -> Any:
        """The value of the last module, each fed with the one before."""
        for module in self:
            x = module(x)
        return x


class ModuleList(Container):
    """A list whose members are parts; how they are called is up to the module that holds it."""


class ModuleDict(Module):
    """A dictionary whose values are parts; how they are called is up to the module that holds it."""

    def __init__(self, modules: Mapping[str, Module] | None = None) -> None:
        for name, module in (modules or {}).items():
            self[name] = module

    def __getitem__(self, name: str) -> Module:
        try:
            return dict(self.named_children())[name]
        except KeyError:
            raise KeyError(f"no part {name!r}; there are {list(self.keys())}") from None

    def __setitem__(self, name: str, module: Module) -> None:
        self.add_module(name, module)

    def __len__(self) -> int:
        return len(self.keys())

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __contains__(self, name: object) -> bool:
        return name in self.keys()

    def keys(self) -> KeysView[str]:
        """The names."""
        return dict(self.named_children()).keys()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return dict(self.named_children()).values()

    def items(self) -> ItemsView[str, Module]:
        """The pairs of name and module."""
        return dict(self.named_children()).items()
