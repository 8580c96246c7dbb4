"""Modules made of modules: in sequence, in a list, in a dictionary."""

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Self, overload

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
        return len(list(self.parts()))

    def __iter__(self) -> Iterator[Module]:
        return (part for _, part in self.parts())

    @overload
    def __getitem__(self, index: int) -> Module: ...
    @overload
    def __getitem__(self, index: slice) -> Self: ...
    def __getitem__(self, index: int | slice) -> "Module | Self":
        if isinstance(index, slice):
            return self.selected(list(self.parts())[index])
        return list(self)[index]

    def __setitem__(self, index: int, module: Module) -> None:
        name, _ = list(self.parts())[index]
        self.add_module(name, module)

    def selected(self, parts: list[tuple[str, Module]]) -> Self:
        """A container of the same kind with these of the parts."""
        return type(self)(part for _, part in parts)


class Sequential(Container):
    """y = fₙ(… f₂(f₁(x)))      A slice keeps the names of its parts."""

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.add_module(name, module)
        else:
            super().__init__(modules)  # type: ignore[arg-type]

    def selected(self, parts: list[tuple[str, Module]]) -> Self:
        return type(self)(dict(parts))

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
            return dict(self.parts())[name]
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
        return dict(self.parts()).keys()

    def values(self) -> ValuesView[Module]:
        """The modules."""
        return dict(self.parts()).values()

    def items(self) -> ItemsView[str, Module]:
        """The pairs of name and module."""
        return dict(self.parts()).items()
