"""Results to figures: each function takes a result and returns (figure, axes).

They never show, never touch a model, never smooth: what is drawn is what was counted. No torch.
"""

from tempo_lab.plots.allocation import allocation
from tempo_lab.plots.front_loading import front_loading, front_loading_slots

__all__ = ["allocation", "front_loading", "front_loading_slots"]
