"""How work is described and done: steps whose fields are their identity, what they work with, and who runs them.

Nothing here knows what a step computes, nor any workflow engine. Read `step.py` first, then `runner.py`.
"""
