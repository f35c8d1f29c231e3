"""Solutions of notebook 04; run it in the folder of the notebooks."""

import numpy as np

import tempo_lab as tl
from tempo_lab import course

tempo = course.start()
session = tempo.open(course.clip("voyage"), progress=False)

# %% Exercise 1
first = 1 + 0 + 1 + 0.5  # 0.2 against 0.1, 0.5, 0.0, 0.2
second = 1 + 0.5 + 1 + 1  # 0.5 against the same
counted = (first + second) / 8
course.check_counted_pairs(counted)


# %% Exercise 2
def area(scores, truth):
    ahead = scores[truth][:, None] - scores[~truth]
    return ((ahead > 0) + 0.5 * (ahead == 0)).mean()


course.check_auc(area)

# %% Exercise 3
error = 0.5 * abs(0.9 - 6 / 10) + 0.5 * abs(0.1 - 1 / 10)
course.check_calibration(error)


# %% Exercise 4
def effective(scores):
    share = scores / scores.sum()
    return np.exp(-(share * np.log(share)).sum())


course.check_effective_segments(effective)

# %% Exercise 5
predicted = 5  # the segment with the circle
other = tl.Intervention.question("Where is the circle?")
run = session.ask("What color is the star?", budget=64, interventions=other)
course.check_other_question(predicted, run)

session.close()
