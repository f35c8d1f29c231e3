"""The course for a class: a folder to give away, and points for submitted notebooks."""
