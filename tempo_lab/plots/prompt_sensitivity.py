"""What the wording of the relevance prompt changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.plots.style import (
    AROUND_ZERO,
    BLACK,
    BLUE,
    CYCLE,
    EVIDENCE,
    NARROW,
    ORANGE,
    check_result,
    new_figure,
    segment_edges,
    tidy,
    title,
    width_of,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure, SubFigure

    from tempo_lab.analysis.prompt_sensitivity import PromptSensitivity


def prompt_sensitivity(
    result: PromptSensitivity,
    *,
    width: float | None = None,
    figure: Figure | SubFigure | None = None,
) -> tuple[Figure, np.ndarray]:
    """Draw logits, agreement and memory tokens by wording, compared with the released wording.

    The dotted line in the third panel is the distance of memory tokens if the question is empty.

    Args:
        result: what to draw.
        width: of the figure, in inches.
        figure: an empty figure or subfigure to draw in, instead of a new one.

    Returns:
        the figure and its axes [4], [logits, agreement, memory distance, cosine by slot].

    Raises:
        TraceError: it is another result.
    """
    from tempo_lab.analysis.prompt_sensitivity import PromptSensitivity

    data = check_result(result, PromptSensitivity, "prompt_sensitivity").data
    names = [
        f"{name}{' (inverted)' * bool(inverted and 'inverted' not in str(name))}"
        for name, inverted in zip(data["wording"].to_numpy(), data["inverted"], strict=True)
    ]
    width = width_of(figure, width)
    narrow = width < NARROW
    figure = new_figure(figure, width, 9.0 if narrow else 5.6)
    panels = ["agreement", "distance", "cosine"]
    rows: Any = [[panel] for panel in ("logit", *panels)] if narrow else [["logit"] * 3, panels]
    logits, agreement, distances, cosines = figure.subplot_mosaic(rows).values()
    places = np.arange(len(names))
    limits = (len(names) - 0.5, -0.5)
    logit = data["logit"].to_numpy()
    edges = segment_edges(data["start"].to_numpy(), data["end"].to_numpy())
    highest = max(float(np.abs(logit).max()), 1e-6)
    mesh = logits.pcolormesh(
        edges, np.arange(len(names) + 1) - 0.5, logit, cmap=AROUND_ZERO, vmin=-highest,
        vmax=highest,
    )  # fmt: skip
    figure.colorbar(mesh, ax=logits, label="logit (Yes - No)", pad=0.01)
    logits.set_yticks(places, names)
    label = "time (s); green: evidence" if "truth" in data else "time (s)"
    logits.set(xlabel=label, ylim=limits)
    if "truth" in data:
        logits.set_ylim(len(names) - 0.2, -0.5)
        for segment in np.flatnonzero(data["truth"]):
            span = edges[segment : segment + 2]
            logits.fill_between(span, len(names) - 0.42, len(names) - 0.22, color=EVIDENCE, lw=0)
    question = title(str(data["question"].item()), 60, width)
    logits.set_title(question, loc="left", fontsize="medium")
    if not narrow:
        logits.set_title("relevance prompt in other words", loc="right", fontsize="small")

    for name, color, label, marker in (
        ("rank_agreement", BLUE, "rank correlation", "o"),
        ("same_sign", ORANGE, "same sign", "s"),
    ):
        agreement.plot(data[name], places, marker, color=color, ms=6, alpha=0.8, label=label)
    agreement.axvline(0, color=BLACK, lw=0.8)
    agreement.set_yticks(places, names)
    agreement.set(xlim=(-1.08, 1.08), ylim=limits, xlabel="with the released wording")
    agreement.legend(fontsize="small", loc="upper left", framealpha=1, edgecolor="none")
    agreement.set_title("agreement", loc="left", fontsize="medium")

    distance = data["distance"]
    colors = [CYCLE[place % len(CYCLE)] for place in places]
    distances.barh(places, distance.mean("segment"), color=colors)
    empty = float(data["question_distance"].mean())
    distances.axvline(empty, color=BLACK, lw=1, ls=":")
    distances.text(empty, -0.45, "no question ", ha="right", va="top", fontsize="small")
    changed = data["answer_changed_same_tokens"].to_numpy()
    for place in places[changed > 0]:
        distances.text(0.02, place, "another answer", va="center", fontsize="small", color="white")
    distances.set_yticks(places, names if narrow else [""] * len(names))
    distances.set(ylim=limits, xlabel="distance / norm, mean of segments")
    distances.set_title("memory: distance", loc="left", fontsize="medium")

    for place, name in enumerate(names[1:], 1):
        mean = data["cosine"].isel(wording=place).mean("segment")
        cosines.plot(
            data["slot"].to_numpy(), mean, color=CYCLE[place % len(CYCLE)], lw=1.5, label=name
        )
    cosines.set(xlabel="memory slot", ylabel="cosine, mean of segments")
    cosines.set_title("memory: by slot", loc="left", fontsize="medium")
    tidy(cosines)
    tidy(agreement, distances, grid="x")
    return figure.figure, np.array([logits, agreement, distances, cosines])
