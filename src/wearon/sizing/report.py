"""The evaluation as one HTML file that needs nothing else: tables, and plots embedded as pictures."""

import base64
import html
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from wearon.sizing.evaluate import AnsurScored, Scored, ansur_as_text, as_text, summarise
from wearon.sizing.measure import MEASURES

if TYPE_CHECKING:
    from matplotlib.figure import Figure

_STYLE = (
    "body{font:15px system-ui;max-width:70rem;margin:2rem auto;padding:0 1rem}pre{overflow-x:auto}img{max-width:100%}"
)
_BLUE, _GREY = "#0a7bd0", "#8a94a3"


def render_report(scored: Sequence[Scored] = (), ansur: AnsurScored | None = None) -> str:
    """An HTML page of whatever has been evaluated: a folder of pictures, the girth model on ANSUR rows, or both."""
    parts = ["<h1>Size estimates against the truth</h1>"]
    answered = [one for one in scored if one.estimate]
    if scored:
        parts += ["<h2>Pictures</h2>", _table(as_text(scored)), _refusals(scored)]
    if answered:
        parts += [_picture(figure) for figure in (_reliability(answered), _histograms(answered), _scatter(answered))]
    if ansur:
        parts += ["<h2>Girth model on ANSUR rows</h2>", _table(ansur_as_text(ansur))]
    return f"<!doctype html><meta charset='utf-8'><title>Size estimates</title><style>{_STYLE}</style>" + "".join(parts)


def reliability_png(scored: Sequence[Scored]) -> bytes:
    """The reliability diagram alone, for the documentation."""
    return _png(_reliability([one for one in scored if one.estimate]))


def histograms_png(scored: Sequence[Scored]) -> bytes:
    """The error histograms alone, for the documentation."""
    return _png(_histograms([one for one in scored if one.estimate]))


def _table(text: str) -> str:
    return f"<pre>{html.escape(text)}</pre>"


def _refusals(scored: Sequence[Scored]) -> str:
    refused = [f"{one.truth['image']}: {one.refusal}" for one in scored if not one.estimate]
    return f"<p>Refused: {html.escape(', '.join(refused))}</p>" if refused else ""


def _figure(columns: int) -> "Figure":
    # Not pyplot: it keeps every figure in a global list and looks for a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3.6 * columns, 3.4), layout="constrained")
    figure.subplots(1, columns)
    return figure


def _reliability(answered: Sequence[Scored]) -> "Figure":
    summary = summarise(answered)
    figure = _figure(1)
    (axes,) = figure.axes
    said, right, counts = zip(*summary.calibration, strict=True)
    axes.plot([0, 1], [0, 1], color=_GREY, linewidth=1)
    deviations = [np.sqrt(max(r * (1 - r), 0.01) * summary.repeats / n) for r, n in zip(right, counts, strict=True)]
    axes.errorbar(said, right, yerr=deviations, fmt="o", color=_BLUE, capsize=3)
    axes.set(xlim=(0, 1), ylim=(0, 1), xlabel="confidence", ylabel="share of right sizes")
    axes.set_title(f"calibration gap {summary.calibration_gap:.3f}, {summary.gap_by_chance:.3f} by chance", fontsize=10)
    return figure


def _histograms(answered: Sequence[Scored]) -> "Figure":
    errors = np.array([one.errors for one in answered])
    figure = _figure(len(MEASURES))
    for axes, name, column in zip(figure.axes, MEASURES, errors.T, strict=True):
        axes.hist(column, bins=20, color=_BLUE)
        axes.axvline(0, color=_GREY, linewidth=1)
        axes.set(xlabel="estimate - truth, cm")
        axes.set_title(f"{name.removesuffix('_cm')}: mean absolute {np.abs(column).mean():.2f}")
    return figure


def _scatter(answered: Sequence[Scored]) -> "Figure":
    figure = _figure(len(MEASURES))
    for axes, name in zip(figure.axes, MEASURES, strict=True):
        truth = [float(one.truth[name]) for one in answered]
        found = [getattr(one.estimate.measurements, name) for one in answered if one.estimate]
        axes.plot(truth, found, ".", color=_BLUE)
        axes.axline((truth[0], truth[0]), slope=1, color=_GREY, linewidth=1)
        axes.set(xlabel="truth, cm", ylabel="estimate, cm", title=name.removesuffix("_cm"))
    return figure


def _png(figure: "Figure") -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _picture(figure: "Figure") -> str:
    return f"<img alt='' src='data:image/png;base64,{base64.b64encode(_png(figure)).decode()}'>"
