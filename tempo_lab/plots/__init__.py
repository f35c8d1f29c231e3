"""Results to figures: each function takes a result and returns (figure, axes).

They never show, never touch a model, never smooth: what is drawn is what was counted. No torch.
"""

from tempo_lab.plots.allocation import allocation
from tempo_lab.plots.answer_attention import answer_attention
from tempo_lab.plots.attention import attention
from tempo_lab.plots.attention_overlay import attention_overlay
from tempo_lab.plots.rollout import rollout

__all__ = ["allocation", "answer_attention", "attention", "attention_overlay", "rollout"]
