"""Solutions of notebook 00; run it in the folder of the notebooks."""

import tempo_lab as tl
from tempo_lab import course

tempo = course.start()
video = tempo.open(course.clip("voyage"), progress=False)
trace = video.ask("What color is the star?", budget=64)

# %% Exercise 1
segment = 21 // 4
course.check_segment_at(segment)

# %% Exercise 2
words = trace.totals["timestamps"] + trace.totals["text"]
course.check_words(words, trace.totals)

# %% Exercise 3
smallest = len(video)  # one token per segment; with fewer, some segment would have none
video.ask("What color is the star?", budget=smallest)
course.check_smallest_budget(smallest, len(video))

# %% Exercise 4
predicted = trace.totals["used"] - int(trace.data["tokens"][8])
drop = tl.Intervention.drop(8)
run = video.ask("What color is the star?", budget=64, interventions=drop)
course.check_used_after_drop(predicted, run)

video.close()
