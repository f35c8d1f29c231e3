"""Explorers: controls over a figure, for a notebook or a page. Each has `.static()` and `.close()`.

Thin shells over `tempo_lab.plots`; nothing comes from a network. No torch is needed to import them.
"""

from tempo_lab.widgets.ask import AskPanel
from tempo_lab.widgets.base import Explorer

__all__ = ["AskPanel", "Explorer"]
