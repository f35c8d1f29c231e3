"""Semantic front-loading: how much the first k memory tokens of each segment carry."""

from tempo_lab.analysis.front_loading.curves import token_probabilities
from tempo_lab.analysis.front_loading.front_loading import front_loading, tokens_tried
from tempo_lab.analysis.front_loading.result import FrontLoading

__all__ = ["FrontLoading", "front_loading", "token_probabilities", "tokens_tried"]
