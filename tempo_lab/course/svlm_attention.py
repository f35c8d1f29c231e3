"""Checks of notebook 03, and the share of attention near an item of the world."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import TYPE_CHECKING, Any

import numpy as np

from tempo_lab.course.checking import check, number, numbers, words
from tempo_lab.course.predictions import STAR, STAR_AT, example_run, judge_number
from tempo_lab.course.setup import truth
from tempo_lab.nano.world.scenes import SEGMENT_SECONDS, UNITS, Item
from tempo_lab.session.capture.spec import Capture, Rows
from tempo_lab.session.interventions.spec import Intervention

if TYPE_CHECKING:
    import xarray as xr

GRID = ("pair", "patch_row", "patch_column")
REACH = 1 / 8
"""Distance from an item, as a share of the frame on both axes, up to which a patch is near."""


def things_of(clip: str) -> list[list[Item]]:
    """Return the items that each segment of a clip shows."""
    return [[Item(**item) for item in part["items"]] for part in truth(clip)["segments"]]


def times_even_near(mass: xr.DataArray, thing: Item) -> xr.DataArray:
    """Return the share of attention near an item, divided by the share of patches near it.

    Args:
        mass: attention of one segment, with the dimensions pair, patch_row, patch_column and any
            others.
        thing: an item of that segment; its position is taken in the middle of each frame pair.

    Returns:
        the ratio, with the other dimensions; 1 without a preference.
    """
    pairs, rows, columns = (mass.sizes[name] for name in GRID)
    seconds = (np.arange(pairs) + 0.5) * SEGMENT_SECONDS / pairs
    x, y = np.array([thing.center(second) for second in seconds]).T[..., None] / UNITS
    across = abs((np.arange(columns) + 0.5) / columns - x) <= REACH  # [pair, patch_column]
    down = abs((np.arange(rows) + 0.5) / rows - y) <= REACH
    near = mass.isel({name: 0 for name in mass.dims if name not in GRID}).transpose(*GRID)
    near = near.copy(data=down[:, :, None] & across[:, None, :]).reset_coords(drop=True)
    return mass.where(near, 0.0).sum(GRID) / mass.sum(GRID) / float(near.mean())


@check(
    right=[(0.25,), ("0.25",), (np.float64(0.15 / 0.6),), ([0.25],)],
    wrong=[(0.15,), (0.6,), (4.0,), (0.09,), (0.0021,)],
)
def check_times_even(answer: Any) -> str | None:
    """How many times an even share: 0.15 of the attention on 72 of 120 keys."""
    value = number(answer)
    if abs(value - 0.25) < 1e-6:
        return None
    if abs(value - 4) < 1e-6:
        return "This is the inverse. Divide the measured share by the even share."
    return "The even share is 72 of 120. Divide the measured share by it."


def _causal(scores: Any) -> np.ndarray:
    raised = np.exp(scores - np.max(scores)) * np.tri(len(scores))
    return raised / raised.sum(axis=1, keepdims=True)


_SCORES = [np.random.default_rng(seed).normal(size=(n, n)) for seed, n in ((0, 2), (1, 4), (2, 6))]


@check(
    right=[
        ("What color is the moon",),
        ("what color is the moon ",),
        (["What color is the moon"],),
    ],
    wrong=[
        ("moon",),
        ("the moon",),
        ("What color is the moon?",),
        ("What color is the moon with the star?",),
        ("What color is the star",),
        ("What color is the",),
    ],
)
def check_cut(answer: Any) -> str | None:
    """The text whose last row is that of "moon" in "What color is the moon with the star?"."""
    (chosen,) = words(answer)
    if chosen == "what color is the moon":
        return None
    if not "what color is the moon with the star?".startswith(chosen):
        return "A row depends on all earlier words: do not change the beginning of the question."
    return "Later words do not change the row of a word. At which word can the text end?"


Rolled = Callable[[Sequence[np.ndarray]], Any]


def _rollout(maps: Sequence[np.ndarray]) -> np.ndarray:
    """R = A_L ... A_1, with the residual path as one half of each."""
    layers = [0.5 * np.eye(len(layer)) + 0.5 * np.asarray(layer) for layer in maps]
    return reduce(lambda product, layer: layer @ product, layers)


def _in_place(maps: Sequence[np.ndarray]) -> np.ndarray:
    product = np.eye(len(maps[0]))
    for layer in maps:
        product = (product + layer @ product) / 2
    return product


def _backwards(maps: Sequence[np.ndarray]) -> np.ndarray:
    return _rollout(maps[::-1])


def _no_residual(maps: Sequence[np.ndarray]) -> np.ndarray:
    return reduce(lambda product, layer: layer @ product, maps)


def _mean_layer(maps: Sequence[np.ndarray]) -> np.ndarray:
    return np.asarray(np.mean([0.5 * np.eye(len(layer)) + 0.5 * layer for layer in maps], axis=0))


_MAPS = [[_causal(scores), _causal(-scores), _causal(scores**2)] for scores in _SCORES]


@check(
    right=[(_rollout,), (_in_place,), (lambda maps: _rollout(maps).tolist(),)],
    wrong=[(_backwards,), (_no_residual,), (_mean_layer,), (lambda maps: maps[0],), (0.5,)],
)
def check_rollout(answer: Rolled) -> str | None:
    """A function: attention of the layers, the first one first, to their rollout."""
    if not callable(answer):
        return "Give the function, not its result."
    for maps in _MAPS:
        wanted, values = _rollout(maps), np.array(numbers(answer([each.copy() for each in maps])))
        if values.size != wanted.size:
            return f"For {len(maps)} maps of shape {wanted.shape} it returns {values.size} numbers."
        if np.abs(values.reshape(wanted.shape) - wanted).max() < 1e-6:
            continue
        for what, other in (
            ("with the layers in reverse order", _backwards),
            ("without the residual path", _no_residual),
            ("if you average the layers instead of multiplying them", _mean_layer),
        ):
            if np.abs(values.reshape(wanted.shape) - other(maps)).max() < 1e-6:
                return f"This is the result {what}."
        return "Half of each layer is the identity. Multiply each later layer from the left."
    return None


_COPY = Intervention.patch(-1, "decision", 0.0, segments=3)
"""The value is what the learner copies; it is not compared."""


def _copy_right() -> list[tuple[Any, ...]]:
    capture = Capture(hidden=Rows(["decision"]))
    states = example_run(STAR, capture=capture).data["hidden_state"]
    state = states.isel(segment=STAR_AT, layer=-1, hidden_row=0).to_numpy()
    run = example_run(STAR, Intervention.patch(-1, "decision", state, segments=3))
    tokens = int(run.data["tokens"][3])
    return [(tokens, run), (float(tokens), run)]


def _copy_wrong() -> list[tuple[Any, ...]]:
    plain, zero = example_run(STAR), example_run(STAR, _COPY)
    tokens = int(plain.data["tokens"][STAR_AT])
    return [(tokens, plain), (tokens, zero), (tokens, ...)]


@check(right=_copy_right, wrong=_copy_wrong)
def check_copied_decision(predicted: Any, run: Any) -> str | None:
    """Tokens of a segment that gets the decision state of another one."""
    return judge_number(predicted, run, STAR, _COPY, lambda trace: int(trace.data["tokens"][3]))
