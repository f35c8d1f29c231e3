"""What to record while a question runs, and what to make different in it.

    spec = tl.Capture(attention=tl.Rows(["decision", "memory"]), reduce="key_group")
    print(spec.price(video))
    trace = video.ask(question, budget=64, capture=spec)
    trace.data["attention"]  # [segment, layer, head, row, key_group]
    video.ask(question, budget=64, interventions=tl.Intervention.drop([3])).answer

Everything is installed for one `ask` and gone after it, also after an error or Ctrl-C.
"""

from tempo_lab.session.capture.cost import Price
from tempo_lab.session.capture.spec import Capture, Rows
from tempo_lab.session.interventions.spec import Intervention

__all__ = ["Capture", "Intervention", "Price", "Rows"]
