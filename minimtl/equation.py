"""`@equation`: which formula a function computes. The formula is read, evaluated and compared in `minimtl.equations`.

    @equation("nn.tanh.vjp", r"\\frac{\\partial L}{\\partial x_i} = G_i (1 - y_i^2)")
    @equation("nn.tanh", r"y_i = \\tanh x_i", shapes="x (n) → y (n)")
    def tanh(x): ...

The decorator returns the function itself: what is mapped is what runs. An id is never used twice. Symbols are written as Python
reads them, NFKC-normalised: θₖ is θk. A symbol stands for the parameter of its name; `symbols` says which where the names differ.
g or G is the gradient that comes in, y or Y what the function returns.
"""

import inspect
import re
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar
from unicodedata import normalize

F = TypeVar("F", bound=Callable[..., Any])

GIVEN = {"g", "G", "y", "Y"}
registry: dict[str, "Equation"] = {}


@dataclass(frozen=True, eq=False)
class Equation:
    """A formula and the function that computes it.

    symbols       symbol → the parameter of the function, or the function of its module, that it stands for
    shapes        "x (N, C), w (F, C) → y (N, F)": the letters in brackets are sizes, and symbols too
    source        where the formula stands: "D1 §3.1", a paper
    conventions   what the formula leaves open: sum or mean, the factor ½, what counts outside the image
    base          what indices count from
    outside       symbol → what its entries beyond the ends count as; reading there is an error for the others
    unseen        parameters that the formula does not show
    part          the function inside the function that computes it
    helpers       functions of its module to which it leaves what the formula says

    An id "a.b.vjp" inherits symbols, shapes, base and outside from "a.b", the formula whose derivative it is.
    """

    id: str
    latex: str
    function: Callable[..., Any]
    own_symbols: Mapping[str, str] = field(default_factory=dict)
    own_shapes: str = ""
    source: str = ""
    conventions: str = ""
    own_base: int | None = None
    own_outside: Mapping[str, float] = field(default_factory=dict)
    unseen: tuple[str, ...] = ()
    part: str = ""
    helper_names: tuple[str, ...] = ()

    @property
    def forward(self) -> "Equation | None":
        """The equation whose derivative this is."""
        name, vjp, _ = self.id.partition(".vjp")
        return registry.get(name) if vjp else None

    @property
    def symbols(self) -> dict[str, str]:
        """symbol → parameter, those of the forward formula included."""
        return {**(self.forward.symbols if self.forward else {}), **self.own_symbols}

    @property
    def shapes(self) -> str:
        """The shapes, those of the forward formula unless said."""
        return self.own_shapes or (self.forward.shapes if self.forward else "")

    @property
    def base(self) -> int:
        """0 or 1."""
        return self.own_base if self.own_base is not None else self.forward.base if self.forward else 1

    @property
    def outside(self) -> dict[str, float]:
        """symbol → value beyond its ends."""
        return {**(self.forward.outside if self.forward else {}), **self.own_outside}

    @property
    def parameters(self) -> list[str]:
        """The names of the function's parameters."""
        return [name for name in inspect.signature(inspect.unwrap(self.function)).parameters if name != "self"]

    @property
    def sizes(self) -> set[str]:
        """The letters of the shapes."""
        inside = " ".join(re.findall(r"\(([^)]*)\)", self.shapes))
        return set(re.findall(r"[^\W\d_]\w*", normalize("NFKC", inside)))

    @property
    def names(self) -> set[str]:
        """Every symbol that the formula may use: parameters, `symbols`, sizes, and in a derivative what is given.

        Where θ stands for a parameter θk, \\theta_k is θ with the index k, and where θt stands for θ, θ is none.
        """
        hidden = {p for s, p in self.symbols.items() if p != s and (p.startswith(s) or s.startswith(p))}
        return {*self.parameters, *self.symbols, *self.sizes, *(GIVEN if self.forward else ())} - hidden

    @property
    def helpers(self) -> list[Callable[..., Any]]:
        """The functions to which this one leaves what the formula says."""
        return [vars(sys.modules[self.function.__module__])[name] for name in self.helper_names]

    @property
    def source_lines(self) -> tuple[list[str], int]:
        """The lines of the function, or of its part, without decorators, and the number of the first."""
        return lines_of(self.function, self.part)

    @property
    def file(self) -> str:
        """Where the function is written; of this package from the folder that holds it: "minimtl/mtl/objective.py"."""
        path, home = Path(inspect.getsourcefile(inspect.unwrap(self.function)) or ""), Path(__file__).parents[1]
        return (path.relative_to(home) if path.is_relative_to(home) else path).as_posix()

    @property
    def line(self) -> int:
        """The line of its `def`."""
        return self.source_lines[1]

    @property
    def status(self) -> str:
        """ "evaluated" from the printed LaTeX, checked by a "property", or "unchecked" where `minimtl.equations` is not loaded."""
        return statuses.get(self.id, "unchecked")


statuses: dict[str, str] = {}  # id → how it is checked, written by `minimtl.equations`


def equation(
    id: str,
    latex: str,
    *,
    symbols: Mapping[str, str] | None = None,
    shapes: str = "",
    source: str = "",
    conventions: str = "",
    base: int | None = None,
    outside: Mapping[str, float] | None = None,
    unseen: tuple[str, ...] = (),
    part: str = "",
    helpers: tuple[str, ...] = (),
) -> Callable[[F], F]:
    """The decorator: see `Equation` for what the arguments mean."""

    def mapped(function: F) -> F:
        if id in registry:
            raise ValueError(f"equation: the id {id!r} is taken by {registry[id].function.__qualname__}")
        plain = {normalize("NFKC", name): value for name, value in (symbols or {}).items()}
        registry[id] = Equation(
            id, latex, function, plain, shapes, source, conventions, base, dict(outside or {}), unseen, part, helpers
        )
        return function

    return mapped


def lines_of(function: Callable[..., Any], part: str = "") -> tuple[list[str], int]:
    """The lines of a function, or of one inside it, without decorators, and the number of the first."""
    lines, first = inspect.getsourcelines(inspect.unwrap(function))
    head = rf"\s*def {part or function.__name__}\b"
    start = next(i for i, line in enumerate(lines) if re.match(head, line))
    return (inspect.getblock(lines[start:]) if part else lines[start:]), first + start


def ids_of(function: Callable[..., Any]) -> list[str]:
    """The ids of a function; of an operation that hands over to a kernel, those of the kernel, which has its name."""
    same = [e for e in registry.values() if e.function.__name__ == getattr(function, "__name__", "")]
    operation = str(getattr(function, "__module__", "")).startswith("minimtl.ops.")
    return [e.id for e in same if e.function is function] or [e.id for e in same if operation]
