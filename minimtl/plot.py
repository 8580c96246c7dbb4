"""Pictures: learning curves, sheets of images, maps of them, comparisons, matrices of tasks: figures of matplotlib, not windows."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, PercentFormatter

from minimtl.backend import Array
from minimtl.mtl.compare import Comparison
from minimtl.mtl.evaluation import Interval, better_when_higher, interval
from minimtl.mtl.relatedness import Relatedness
from minimtl.training import History


def learning_curves(history: History, title: str = "") -> Figure:
    """One panel for each quantity over epochs: all tasks together, each in its colour, validation dashed."""
    series = [Series(name) for name in history.names() if name not in ("epoch", "seconds")]
    quantities = list(dict.fromkeys(s.quantity for s in series))
    tasks = list(dict.fromkeys(s.task for s in series))
    figure = Figure(figsize=(4.8 * len(quantities), 3.6), layout="constrained")
    for panel, quantity in zip(figure.subplots(1, len(quantities), squeeze=False)[0], quantities, strict=True):
        for s in series:
            if s.quantity == quantity:
                curve(panel, history, s, "0.6" if s.task == TOTAL else f"C{tasks.index(s.task)}")
        panel.set(xlabel="epoch", ylabel=quantity, xlim=(0.8, len(history) + 0.2))
        panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        if quantity == "accuracy":
            panel.yaxis.set_major_formatter(PercentFormatter(1.0))
        panel.grid(alpha=0.3)
        panel.legend(fontsize="small")
    figure.suptitle(title)
    return figure


TOTAL = "weighted sum"


class Series:
    """A recorded name taken apart: "validation digit loss" is the loss of the task digit on validation data."""

    def __init__(self, name: str) -> None:
        *words, self.quantity = name.split()
        self.name, self.validation = name, words[:1] == ["validation"]
        self.task = " ".join(words[self.validation :]) or TOTAL


def curve(panel: Axes, history: History, s: Series, color: str) -> None:
    """One line: solid for training, dashed for validation."""
    label, style = (f"{s.task}, validation", "--") if s.validation else (s.task, "-")
    panel.plot(history["epoch"], history[s.name], style, marker=".", color=color, label=label)


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


def matrix(related: Relatedness, title: str = "") -> Figure:
    """A matrix of tasks as coloured fields, each with its number: blue above 0, red below."""
    M, K = related.matrix, len(related.tasks)
    width = max(1.6 + 0.75 * K, 0.4 + 0.085 * len(title))  # a long title is not cut
    figure = Figure(figsize=(width, 1.2 + 0.65 * K), layout="constrained")
    panel: Axes = figure.subplots()
    size = float(np.nanmax(np.abs(M), initial=1e-12))
    panel.imshow(M, cmap="RdBu", vmin=-size, vmax=size)
    for i in range(K):
        for j in range(K):
            said = f"{M[i, j]:.2f}" if np.isfinite(M[i, j]) else ""
            colour = "white" if abs(M[i, j]) > 0.6 * size else "0.1"
            panel.text(j, i, said, ha="center", va="center", fontsize=9, color=colour)
    panel.set_xticks(range(K), related.tasks, rotation=30, ha="right")
    panel.set_yticks(range(K), related.tasks)
    figure.suptitle(title, fontsize=10)
    return figure


def heat(images: Array, maps: Mapping[str, Array], captions: Sequence[str] = (), title: str = "") -> Figure:
    """Images (N, H, W) in a row, and below them a row for each kind of map, {name: (N, H, W)}, bright where it is large.

    Of images and maps (N, C, H, W) the largest of the channels is shown. Each map is scaled by its own largest number.
    """
    rows = {"": images, **maps}
    N = len(images)
    wrong = {name: np.shape(m) for name, m in rows.items() if np.ndim(m) not in (3, 4) or len(m) != N or N == 0}
    if wrong:
        raise ValueError(f"heat: needs {N} ≥ 1 images and maps of each, (N, H, W) or (N, C, H, W), got {wrong}")
    figure = Figure(figsize=(1.1 * N + 1.0, 1.15 * len(rows) + 0.6), layout="constrained")
    panels = figure.subplots(len(rows), N, squeeze=False)
    for i, (name, shown) in enumerate(rows.items()):
        for n in range(N):
            picture, panel = (shown[n].max(axis=0) if shown[n].ndim == 3 else shown[n]), panels[i][n]
            if i == 0:
                panel.imshow(picture, cmap="gray")
                panel.set_title(captions[n] if n < len(captions) else "", fontsize=8)
            else:
                panel.imshow(picture, cmap="inferno", vmin=0, vmax=max(float(picture.max()), 1e-12))
            panel.set_xticks([])
            panel.set_yticks([])
        panels[i][0].set_ylabel(name, fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def filters(weight: Any, title: str = "") -> Figure:
    """The filters of a first layer, `weight` (F, C, KH, KW): a column each, a row for each channel; blue above 0, red below."""
    w = np.asarray(getattr(weight, "array", weight))
    if w.ndim != 4 or 0 in w.shape:
        raise ValueError(f"filters: needs the weight of a convolution, (F, C, KH, KW), got {w.shape}")
    F, C = w.shape[:2]
    figure = Figure(figsize=(max(0.8 * F, 0.085 * len(title)) + 0.4, 0.9 * C + 0.5), layout="constrained")
    size = max(float(np.abs(w).max()), 1e-12)
    panels = figure.subplots(C, F, squeeze=False)
    for f in range(F):
        for c in range(C):
            panels[c][f].imshow(w[f, c], cmap="RdBu", vmin=-size, vmax=size)
            panels[c][f].set_xticks([])
            panels[c][f].set_yticks([])
        panels[0][f].set_title(str(f), fontsize=8)
    figure.suptitle(title, fontsize=10)
    return figure


def comparison(result: Comparison, name: str, title: str = "") -> Figure:
    """What was recorded under the name, as "validation digit accuracy" or "digit weight", over epochs: a line for each variant, the
    mean of its seeds, in a band of half an interval on either side.
    """
    figure = Figure(figsize=(6.4, 4.2), layout="constrained")
    panel: Axes = figure.subplots()
    for i, (sharing, method) in enumerate(result.variants):
        curve = result.curve(sharing, method, name)
        if np.isnan(curve).all():
            continue  # a method without weights has none to show
        mean, epochs = curve.mean(axis=0), np.arange(1, curve.shape[1] + 1)
        panel.plot(
            epochs, mean, marker=".", color=f"C{i % 10}", ls="-" if i < 10 else "--", label=result.label(sharing, method)
        )
        if len(curve) > 1:
            half = np.array([interval(column.tolist()).half if np.isfinite(column).all() else 0 for column in curve.T])
            panel.fill_between(epochs, mean - half, mean + half, color=f"C{i % 10}", alpha=0.12, linewidth=0)
    panel.set(xlabel="epoch", ylabel=name)
    panel.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    panel.grid(alpha=0.3)
    panel.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(title)
    return figure


def pareto(result: Comparison, x: tuple[str, str], y: tuple[str, str], title: str = "") -> Figure:
    """Two metrics, (task, metric) each, against each other: a point for each variant, with its intervals; those that no other beats in
    both are filled, and joined by a line: the front.
    """
    figure = Figure(figsize=(6.4, 4.6), layout="constrained")
    panel: Axes = figure.subplots()
    signs = [1 if better_when_higher(m) else -1 for _, m in (x, y)]
    points = []
    for sharing, method in result.variants:
        scores = result.scores(sharing, method)
        points.append([interval(v) if len(v) > 1 else Interval(v[0], 0.0) for v in (scores[k][m] for k, m in (x, y))])
    where = np.array([[a.mean, b.mean] for a, b in points]) * signs
    front = [i for i, p in enumerate(where) if not ((where >= p).all(axis=1) & (where > p).any(axis=1)).any()]
    for i, ((a, b), variant) in enumerate(zip(points, result.variants, strict=True)):
        face = f"C{i % 10}" if i in front else "white"
        panel.errorbar(
            a.mean,
            b.mean,
            b.half,
            a.half,
            "os^"[i // 10 % 3],
            color=f"C{i % 10}",
            mfc=face,
            elinewidth=0.6,
            label=result.label(*variant),
        )
    front.sort(key=lambda i: points[i][0].mean)
    panel.plot([points[i][0].mean for i in front], [points[i][1].mean for i in front], color="0.6", linewidth=0.8, zorder=0)
    panel.set(xlabel=" ".join(x), ylabel=" ".join(y))
    panel.grid(alpha=0.3)
    panel.legend(fontsize="small", loc="center left", bbox_to_anchor=(1.0, 0.5))
    figure.suptitle(title)
    return figure
