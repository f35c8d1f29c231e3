"""Analyses of traces and sessions: one question, one function, one file, one result.

    result = tl.analysis.relevance(trace)
    figure, axes = tl.plots.relevance(result)

Analyses that run a model take a session or cases first; those that only read take traces. Importing
this room does not load torch, which reading traces and results does not need.
"""

from tempo_lab.analysis.allocation_study import AllocationStudy, allocation_study
from tempo_lab.analysis.allocator_variants import AllocatorVariants, allocator_variants
from tempo_lab.analysis.answer_attention import AnswerAttention, answer_attention
from tempo_lab.analysis.attention import Attention, attention
from tempo_lab.analysis.attention_groups import AttentionGroups, attention_groups
from tempo_lab.analysis.attribution import TARGETS, Attribution, attribution, register_target
from tempo_lab.analysis.baselines import Baselines, baseline_arms, baselines
from tempo_lab.analysis.compare import Comparison, compare
from tempo_lab.analysis.front_loading import FrontLoading, front_loading
from tempo_lab.analysis.prompt_sensitivity import PromptSensitivity, Wording, prompt_sensitivity
from tempo_lab.analysis.random_weights import with_random_weights
from tempo_lab.analysis.relevance import Relevance, relevance, relevance_cases
from tempo_lab.analysis.relevance_by_layer import RelevanceByLayer, relevance_by_layer
from tempo_lab.analysis.result import Result
from tempo_lab.analysis.rollout import Rollout, rollout
from tempo_lab.common.deprecation import renamed_attributes
from tempo_lab.evaluation.cases import Case, within
from tempo_lab.nano.claims.cases import WorldVideo, case_of, world_cases, world_videos

__all__ = [
    "AllocationStudy",
    "AllocatorVariants",
    "AnswerAttention",
    "Attention",
    "AttentionGroups",
    "Attribution",
    "Baselines",
    "Case",
    "Comparison",
    "FrontLoading",
    "PromptSensitivity",
    "Relevance",
    "RelevanceByLayer",
    "Result",
    "Rollout",
    "TARGETS",
    "Wording",
    "WorldVideo",
    "allocation_study",
    "allocator_variants",
    "answer_attention",
    "attention",
    "attention_groups",
    "attribution",
    "baseline_arms",
    "baselines",
    "case_of",
    "compare",
    "front_loading",
    "prompt_sensitivity",
    "register_target",
    "relevance",
    "relevance_by_layer",
    "relevance_cases",
    "rollout",
    "with_random_weights",
    "within",
    "world_cases",
    "world_videos",
]

__getattr__ = renamed_attributes(
    __name__,
    Rivals="Baselines",
    Strictness="AllocatorVariants",
    rival_arms="baseline_arms",
    rivals="baselines",
    strictness="allocator_variants",
)
