"""Explorers: controls and a figure in a notebook or a page, a thin shell over `tempo_lab.plots`.

Each explorer takes `(session, trace)` and has `.static()` and `.close()`. Nothing is loaded from a
network, and importing this room loads no torch.
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
