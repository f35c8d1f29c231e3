"""Results to figures: each function takes a result and returns (figure, axes).

They never show, never touch a model, never smooth: what is drawn is what was counted. No torch.
"""

from tempo_lab.plots.allocation import allocation
from tempo_lab.plots.allocation_study import allocation_study
from tempo_lab.plots.strictness import strictness

__all__ = ["allocation", "allocation_study", "strictness"]
