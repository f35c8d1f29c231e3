"""Figures of results, without torch: each function takes a result and returns `(Figure, Axes)`.

A plot draws in `ax=`, or in `figure=` where it needs several axes, and then returns an array of
them; `style` sets width and fonts for a paper. Plots never show a figure, run a model, or smooth.
"""

from tempo_lab.common.deprecation import renamed_attributes
from tempo_lab.plots.allocation import allocation
from tempo_lab.plots.allocation_study import allocation_study
from tempo_lab.plots.allocator_variants import allocator_variants
from tempo_lab.plots.anatomy import anatomy
from tempo_lab.plots.answer_attention import answer_attention
from tempo_lab.plots.attention import attention
from tempo_lab.plots.attention_groups import attention_groups
from tempo_lab.plots.attention_overlay import attention_overlay
from tempo_lab.plots.attention_time import attention_parts, attention_time
from tempo_lab.plots.attribution import attribution
from tempo_lab.plots.baselines import baselines
from tempo_lab.plots.compare import compare
from tempo_lab.plots.contact_sheet import contact_sheet
from tempo_lab.plots.evaluation import evaluation
from tempo_lab.plots.filmstrip import filmstrip
from tempo_lab.plots.front_loading import front_loading, front_loading_slots
from tempo_lab.plots.front_loading_answer import front_loading_answer
from tempo_lab.plots.prompt_sensitivity import prompt_sensitivity
from tempo_lab.plots.published_results import published_results
from tempo_lab.plots.relevance import relevance
from tempo_lab.plots.relevance_by_layer import relevance_by_layer
from tempo_lab.plots.relevance_noise import relevance_noise
from tempo_lab.plots.rollout import rollout
from tempo_lab.plots.routing import routing
from tempo_lab.plots.style import style

__all__ = [
    "allocation",
    "allocation_study",
    "anatomy",
    "answer_attention",
    "attention",
    "attention_groups",
    "attention_parts",
    "attention_overlay",
    "attention_time",
    "attribution",
    "compare",
    "contact_sheet",
    "evaluation",
    "filmstrip",
    "front_loading",
    "front_loading_answer",
    "front_loading_slots",
    "prompt_sensitivity",
    "published_results",
    "relevance",
    "relevance_by_layer",
    "relevance_noise",
    "baselines",
    "rollout",
    "routing",
    "allocator_variants",
    "style",
]

__getattr__ = renamed_attributes(__name__, rivals="baselines", strictness="allocator_variants")
