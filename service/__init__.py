"""The pipeline as a service on one machine, and what makes Prefect's own command line fit it.

`serve` starts and watches the processes; `plugin` runs inside every Prefect process and must stay light.
"""
