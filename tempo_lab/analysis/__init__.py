"""One question, one function, one file, one result.

    result = tl.analysis.relevance(trace)
    figure, axes = tl.plots.relevance(result)

Importing this loads no torch: what only tabulates or opens a saved result needs none.
"""

from tempo_lab.analysis.allocation_study import AllocationStudy, allocation_study
from tempo_lab.analysis.answer_attention import AnswerAttention, answer_attention
from tempo_lab.analysis.attention import Attention, attention
from tempo_lab.analysis.attention_groups import AttentionGroups, attention_groups
from tempo_lab.analysis.attribution.attribution import Attribution, attribution
from tempo_lab.analysis.attribution.targets import TARGETS, register_target
from tempo_lab.analysis.cases import Case, WorldVideo, case_of, within, world_cases, world_videos
from tempo_lab.analysis.compare import Comparison, compare
from tempo_lab.analysis.front_loading.front_loading import front_loading
from tempo_lab.analysis.front_loading.result import FrontLoading
from tempo_lab.analysis.prompt_sensitivity import PromptSensitivity, Wording, prompt_sensitivity
from tempo_lab.analysis.random_weights import with_random_weights
from tempo_lab.analysis.relevance import Relevance, relevance, relevance_cases
from tempo_lab.analysis.relevance_by_layer import RelevanceByLayer, relevance_by_layer
from tempo_lab.analysis.result import Result
from tempo_lab.analysis.rivals import Rivals, rival_arms, rivals
from tempo_lab.analysis.rollout import Rollout, rollout
from tempo_lab.analysis.strictness import Strictness, strictness

__all__ = [
    "AllocationStudy",
    "AnswerAttention",
    "Attention",
    "AttentionGroups",
    "Attribution",
    "Case",
    "Comparison",
    "FrontLoading",
    "PromptSensitivity",
    "Relevance",
    "RelevanceByLayer",
    "Result",
    "Rivals",
    "Rollout",
    "Strictness",
    "TARGETS",
    "Wording",
    "WorldVideo",
    "allocation_study",
    "answer_attention",
    "attention",
    "attention_groups",
    "attribution",
    "case_of",
    "compare",
    "front_loading",
    "prompt_sensitivity",
    "register_target",
    "relevance",
    "relevance_by_layer",
    "relevance_cases",
    "rival_arms",
    "rivals",
    "rollout",
    "strictness",
    "with_random_weights",
    "within",
    "world_cases",
    "world_videos",
]
