"""Solutions of notebook 12; run it in the folder of the notebooks."""

import numpy as np

import tempo_lab as tl
from tempo_lab import course

tempo = course.start()

# %% Exercise 1
marked = [7, 8]  # 28 to 32 and 32 to 36 seconds
course.check_marked_segments(marked)


# %% Exercise 2
def resample(videos, rng):
    names = np.unique(videos)
    drawn = rng.choice(names, len(names))
    return np.concatenate([np.flatnonzero(videos == name) for name in drawn])


course.check_resample(resample)


# %% Exercise 3
def recall(tokens, truth, slots):
    return tokens[truth].sum() / (truth.sum() * slots)


course.check_evidence_recall(recall)


# %% Exercise 4
def trim(start, end, seconds):
    middle = (start + end) / 2
    return min(start + seconds, middle), max(end - seconds, middle)


course.check_trim(trim)

# %% Exercise 5
session = tempo.open(course.clip("voyage"), progress=False)
plain = session.ask("What color is the star?", budget=64)
predicted = 0  # scores exist before any memory token is removed
drop = tl.Intervention.drop(8)
run = session.ask("What color is the star?", budget=64, interventions=drop)
course.check_scores_after_drop(predicted, run, plain)

session.close()
