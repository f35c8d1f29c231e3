"""Explorers: controls over a figure, for a notebook or a page. Each has `.static()` and `.close()`.

Thin shells over `tempo_lab.plots`; nothing comes from a network. No torch is needed to import them.
"""

from tempo_lab.widgets.ask import AskPanel
from tempo_lab.widgets.attention import AttentionExplorer
from tempo_lab.widgets.base import Explorer
from tempo_lab.widgets.front_loading import FrontLoadingExplorer
from tempo_lab.widgets.routing import RoutingExplorer
from tempo_lab.widgets.segments import SegmentExplorer

__all__ = [
    "AskPanel",
    "AttentionExplorer",
    "Explorer",
    "FrontLoadingExplorer",
    "RoutingExplorer",
    "SegmentExplorer",
]
