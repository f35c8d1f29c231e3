"""Change what happens while a question runs.

    video.ask(question, budget=64, interventions=tl.Intervention.drop([3])).answer

Everything is installed for one `ask` and removed after it, also after an error or Ctrl-C.
"""

from tempo_lab.session.interventions.spec import Intervention

__all__ = ["Intervention"]
