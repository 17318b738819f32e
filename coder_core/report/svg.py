"""Figures as SVG whose bytes depend on what is drawn alone; matplotlib's objects, without its global state."""

import io

import matplotlib as mpl
from matplotlib.figure import Figure


def to_svg(figure: Figure) -> bytes:
    """Write a figure; letters stay text, and neither the time nor chance enters."""
    target = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "coder-eval", "svg.fonttype": "none"}):
        figure.savefig(target, format="svg", metadata={"Date": None})
    return target.getvalue()
