"""Solutions of notebook 04; run it in the folder of the notebooks."""

import numpy as np

from tempo_lab import course

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
