"""A run's report, kept with the run: `reports/<run id>.html` in the store, a note that nothing else needs."""

from collections.abc import Sequence
from importlib.util import find_spec
from typing import TYPE_CHECKING, NamedTuple

from coder_core.errors import ConfigError
from coder_core.recipes.published_runs import find_run

if TYPE_CHECKING:
    from coder_core.pipeline.context import Context

FOLDER = "reports"
LIBRARIES = {"altair": "altair", "vl_convert": "vl-convert-python"}
"""Module -> package, of those that only a report needs."""


class WrittenReport(NamedTuple):
    """A report.

    Attributes:
        run_id: The run that it is about.
        page: The HTML file.
        path: Where it belongs in the store.
    """

    run_id: str
    page: str
    path: str


def report_path(run_id: str) -> str:
    """Where a run's report lies in its store."""
    return f"{FOLDER}/{run_id}.html"


def write_report(context: "Context", runs: Sequence[str], *, has_pictures: bool = True) -> WrittenReport:
    """Write the report of a run; it is not kept yet.

    Args:
        context: The store.
        runs: Runs by id, evaluation or `latest`. The report is about the first; the others are compared with it.
        has_pictures: False leaves the images of the gallery out.

    Raises:
        QueryError: There is no such run; names the nearest.
        StoreError: The run's row cannot be read.
        ConfigError: A library for the charts is missing.
    """
    run_ids = [find_run(context.artifacts.store, run) for run in runs]
    missing = [package for module, package in LIBRARIES.items() if find_spec(module) is None]
    if missing:
        remedy = f"Run: pip install {' '.join(missing)}"
        raise ConfigError(f"the charts of a report need {' and '.join(missing)}.", "coder-eval report", remedy)
    from coder_core.report.html.make_report import make_report

    page = make_report(context, run_ids, has_pictures=has_pictures)
    return WrittenReport(run_ids[0], page, report_path(run_ids[0]))


def keep_report(context: "Context", report: WrittenReport) -> None:
    """Put a report into the store, in the place of an older one of the same run.

    Raises:
        StoreError: The store refuses.
    """
    context.artifacts.store.write_bytes(report.path, report.page.encode("utf-8"))
