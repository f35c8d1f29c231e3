"""Results to figures: each function takes a result and returns (figure, axes).

They never show, never touch a model, never smooth: what is drawn is what was counted. No torch.
"""

from tempo_lab.plots.allocation import allocation

__all__ = ["allocation"]
