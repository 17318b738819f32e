"""Views beside the tables: questions that analysts ask again and again, with a name.

A view is a SELECT over result tables, so that every tool that holds the tables can make it. Its columns are declared
beside it; a test compares them with what DuckDB says. Most views show every run: `is_latest` keeps the latest run of
each evaluation, and a condition on `run_id` one run.
"""

from coder_core.results.schema.declaring import View
from coder_core.results.schema.views.classes import ADDED_CLASSES, CLASS_GAINS, MOST_CONFUSED_PAIRS, WORST_CLASSES
from coder_core.results.schema.views.images import IMAGE_PREDICTIONS, IMAGES_WRONG_EVERYWHERE, LATEST_PREDICTIONS
from coder_core.results.schema.views.methods import LATEST_METRICS, METHOD_GAINS, RUN_DRIFT, TEXT_KIND_GAINS
from coder_core.results.schema.views.runs import COSTS, LATEST_RUNS, RUN_COSTS

__all__ = ["VIEWS"]

VIEWS: dict[str, View] = {
    view.name: view
    for view in (
        LATEST_RUNS,
        RUN_COSTS,
        COSTS,
        LATEST_METRICS,
        METHOD_GAINS,
        TEXT_KIND_GAINS,
        RUN_DRIFT,
        WORST_CLASSES,
        MOST_CONFUSED_PAIRS,
        CLASS_GAINS,
        ADDED_CLASSES,
        LATEST_PREDICTIONS,
        IMAGE_PREDICTIONS,
        IMAGES_WRONG_EVERYWHERE,
    )
}
"""Every view by name: runs, methods, classes, images."""
