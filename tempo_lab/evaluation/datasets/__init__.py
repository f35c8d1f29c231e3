"""Datasets: public benchmarks and your own tables, read from files; `download` gets the former.

Importing this registers every dataset of the library. No torch.
"""

from tempo_lab.evaluation.datasets.activitynet import activitynet
from tempo_lab.evaluation.datasets.base import (
    DATASETS,
    Dataset,
    Skipped,
    load_dataset,
    register_dataset,
)
from tempo_lab.evaluation.datasets.cgbench import cgbench
from tempo_lab.evaluation.datasets.charades import charades
from tempo_lab.evaluation.datasets.download import download
from tempo_lab.evaluation.datasets.longvideobench import longvideobench
from tempo_lab.evaluation.datasets.lvbench import lvbench
from tempo_lab.evaluation.datasets.mlvu import mlvu
from tempo_lab.evaluation.datasets.nextgqa import nextgqa
from tempo_lab.evaluation.datasets.qvhighlights import qvhighlights
from tempo_lab.evaluation.datasets.rextime import rextime
from tempo_lab.evaluation.datasets.rows import DatasetError, Row, Saliency
from tempo_lab.evaluation.datasets.table import table
from tempo_lab.evaluation.datasets.videomme import videomme
from tempo_lab.video import read_subtitles, subtitles_at_frames, subtitles_between

__all__ = [
    "DATASETS", "Dataset", "DatasetError", "Row", "Saliency", "Skipped", "activitynet", "cgbench",
    "charades", "download", "load_dataset", "longvideobench", "lvbench", "mlvu", "nextgqa",
    "qvhighlights", "read_subtitles", "register_dataset", "rextime", "subtitles_at_frames",
    "subtitles_between", "table", "videomme",
]  # fmt: skip
