"""Engines: where the jobs of an evaluation run. Importing this registers those of the library."""

from tempo_lab.evaluation.engines.base import (
    ENGINES,
    Answer,
    Engine,
    Job,
    Models,
    open_engine,
    register_engine,
)
from tempo_lab.evaluation.engines.local import LocalEngine
from tempo_lab.evaluation.engines.ray_data import RayEngine

__all__ = [
    "ENGINES", "Answer", "Engine", "Job", "LocalEngine", "Models", "RayEngine", "open_engine",
    "register_engine",
]  # fmt: skip
