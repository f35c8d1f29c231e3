"""Solutions of notebook 01; run it in the folder of the notebooks."""

import numpy as np

import tempo_lab as tl
from tempo_lab import course

tempo = course.start()
session = tempo.open(course.clip("voyage"), progress=False)

# %% Exercise 1
frames = len(tl.plan_sampling(10 * 25, 25.0))
course.check_sampled_frames(frames)

# %% Exercise 2
seconds = 1024 / 2
course.check_longest(seconds)

# %% Exercise 3
whole, left = divmod(100, 8)
segments_and_last = [whole + 1, left]
course.check_last_segment(segments_and_last)


# %% Exercise 4
def touched(start, end):
    return list(range(int(start // 4), int(np.ceil(end / 4))))


course.check_touched(touched)

# %% Exercise 5
predicted = 3 * 4 + 2  # the middle of segment 3
swap = tl.Intervention.swap(3, 8)
run = session.ask("When does the star appear?", budget=64, interventions=swap)
course.check_second_after_swap(predicted, run)

session.close()
