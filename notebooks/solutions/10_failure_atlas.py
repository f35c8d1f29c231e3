"""Solutions of notebook 10; run it in the folder of the notebooks."""

import numpy as np

import tempo_lab as tl
from tempo_lab import course

tempo = course.start()
session = tempo.open(course.clip("voyage"), progress=False)


# %% Exercise 1
def diagnosis(scores):
    if scores.max() < 0.5:
        return "absent"
    return "flat" if scores.max() - scores.min() < 0.1 else "fine"


course.check_diagnosis(diagnosis)

# %% Exercise 2
each = min(16, 96 // 12)
course.check_equal_scores(each)


# %% Exercise 3
def repeated(alike):
    return np.tril(alike, -1).max(axis=1) > 0.99


course.check_repeated(repeated)

# %% Exercise 4
spent = 300
course.check_overspent(spent)

# %% Exercise 5
predicted = min(16, 100 // 12)
undecided = tl.Intervention.patch(-1, "decision", 0.0)
run = session.ask("What color is the star?", budget=100, interventions=undecided)
course.check_undecided(predicted, run)

session.close()
