"""The method's claims, measured: benchmarks, scoring, a resumable runner, tables, a page.

What scores, tabulates and draws imports no torch; `answering` and `logprob` alone touch a model.
"""
