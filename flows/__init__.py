"""Flows: the recipes of the jobs, and the command line. They chain tasks and compute nothing."""
