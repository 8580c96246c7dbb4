"""Pictures: learning curves, and sheets of images. Every function returns a matplotlib Figure and opens no window."""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from minimtl.backend import Array
from minimtl.training import History


def learning_curves(history: History, title: str = "") -> Figure:
    """One panel for each quantity over epochs, "digit loss", "parity loss" … together, validation dashed."""
    quantities: dict[str, list[str]] = {}
    for name in history.names():
        if name not in ("epoch", "seconds"):
            quantities.setdefault(name.split()[-1], []).append(name)
    figure = Figure(figsize=(4.5 * len(quantities), 3.6), layout="constrained")
    panels = figure.subplots(1, len(quantities), squeeze=False)[0]
    for panel, (quantity, names) in zip(panels, quantities.items(), strict=True):
        curves(panel, history, quantity, names)
    figure.suptitle(title)
    return figure


def curves(panel: Axes, history: History, quantity: str, names: Sequence[str]) -> None:
    """The curves of one quantity, each task in a colour of its own."""
    labels = {name: " ".join(name.split()[:-1]) or "weighted sum" for name in names}
    tasks = list(dict.fromkeys(label.removeprefix("validation ") for label in labels.values()))
    for name, label in labels.items():
        task = label.removeprefix("validation ")
        style = "--" if label != task else "-"
        panel.plot(history["epoch"], history[name], style, marker=".", color=f"C{tasks.index(task)}", label=label)
    panel.set_xlabel("epoch")
    panel.set_ylabel(quantity)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True))
    panel.grid(alpha=0.3)
    panel.legend(fontsize="small")


def image_sheet(images: Array, captions: Sequence[str], wrong: Sequence[bool], columns: int = 10, title: str = "") -> Figure:
    """Images (N, H, W) side by side, each over its caption; those that are wrong are framed and written in red."""
    rows = -(-len(images) // columns)
    figure = Figure(figsize=(1.05 * columns, 1.35 * rows + 0.4), layout="constrained")
    panels: list[Any] = list(figure.subplots(rows, columns, squeeze=False).flat)
    for panel in panels[len(images) :]:
        panel.axis("off")
    for panel, image, caption, mistake in zip(panels, images, captions, wrong, strict=False):
        colour = "#c00000" if mistake else "#404040"
        panel.imshow(image, cmap="gray_r", vmin=0)
        panel.set_xlabel(caption, fontsize=8, color=colour, labelpad=2)
        panel.set_xticks([])
        panel.set_yticks([])
        for side in panel.spines.values():
            side.set(color=colour, linewidth=2 if mistake else 0.5)
    figure.suptitle(title, fontsize=10)
    return figure
