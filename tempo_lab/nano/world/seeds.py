"""Scene seeds of each purpose. No two purposes share a video.

A scene seed is the number that `draw_scene` takes; a run (`--seed` of a command) has many. Training
draws its segments from its own generators and needs no scene; a checkpoint's example questions come
from `TRAINING`. The included clips and `tempo-lab world make` take seeds below a million.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, islice

from tempo_lab.common.errors import TempoLabError


@dataclass(frozen=True)
class Purpose:
    """The scene seeds of one purpose.

    Attributes:
        name: the purpose's name.
        starts: first scene seed of each run; their step is the number of scene seeds per run.
    """

    name: str
    starts: tuple[range, ...]

    @property
    def runs(self) -> int:
        """Number of runs, which are numbered from 0."""
        return sum(map(len, self.starts))

    def seeds(self, run: int) -> range:
        """Return the scene seeds of a run.

        Raises:
            TempoLabError: there is no such run.
        """
        if not 0 <= run < self.runs:
            raise TempoLabError(
                f"there is no such seed for the videos of {self.name}",
                asked=f"seed {run}",
                found=f"seeds 0 to {self.runs - 1}",
                fix="use a seed in this range",
            )
        first = next(islice(chain(*self.starts), run, None))
        return range(first, first + self.starts[0].step)


TRAINING = Purpose("training", (range(0, 1000, 1000),))
"""Scenes from which a checkpoint's example questions are taken."""
NOTEBOOKS = Purpose("notebooks", (range(2_000_000, 3_000_000, 1000),))
"""Videos of `tempo_lab.analysis.world_videos`, and so of the notebooks."""
REPORT = Purpose("the report", (range(3_000_000, 4_000_000, 1000),))
"""Videos of `tempo-lab report`."""
EVALUATION = Purpose(
    "the evaluation",
    (range(1_000_000, 2_000_000, 100_000), range(10_000_000, 1_000_000_000, 100_000)),
)
"""Videos of `tempo-lab evaluate world`."""
DEVELOPMENT = (1, 7, 11)
"""Runs of the evaluation by which something was chosen: the recipe of the embedded model (1, 7), or
the claims and their thresholds (1, 7, 11). A report on one of them is no evidence."""
REPORTED = (4021, 7763)
"""Runs of the evaluation that `docs/reports.md` reports. Choose nothing by them: a later model
needs runs of its own, and these then belong to `DEVELOPMENT`."""


def held_out(run: int) -> bool:
    """Return whether nothing was chosen by a run of the evaluation."""
    return run not in DEVELOPMENT


PURPOSES = (TRAINING, NOTEBOOKS, REPORT, EVALUATION)
