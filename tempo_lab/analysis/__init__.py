"""One question, one function, one file, one result.

    result = tl.analysis.relevance(trace)
    figure, axes = tl.plots.relevance(result)

Importing this loads no torch: what only tabulates or opens a saved result needs none.
"""

from tempo_lab.analysis.answer_attention import AnswerAttention, answer_attention
from tempo_lab.analysis.attention import Attention, attention
from tempo_lab.analysis.cases import Case, case_of, within, world_cases
from tempo_lab.analysis.result import Result
from tempo_lab.analysis.rollout import Rollout, rollout

__all__ = [
    "AnswerAttention",
    "Attention",
    "Case",
    "Result",
    "Rollout",
    "answer_attention",
    "attention",
    "case_of",
    "rollout",
    "within",
    "world_cases",
]
