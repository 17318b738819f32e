"""The report of a run on Prefect's page: a link to the HTML file that lies in the store."""

from pathlib import Path

from prefect.artifacts import create_link_artifact
from prefect.logging import get_run_logger

from coder_core.errors import CoderError
from coder_core.pipeline.context import Context
from coder_core.pipeline.eval_result import EvalResult
from coder_core.report.markdown import escape_markdown
from coder_core.report.publish_report import keep_report, write_report
from coder_core.specs import Runtime
from coder_core.storage.addresses import redact
from tasks.step_pages import artifact_key


def show_report(runtime: Runtime, result: EvalResult) -> None:
    """Write, keep and link the report of a run; what goes wrong is a warning, for the run itself is published."""
    context = Context.open(runtime)
    try:
        made = write_report(context, [result.run_id])
        keep_report(context, made)
    except CoderError as error:
        get_run_logger().warning("no report: %s", error)
        return
    store = context.artifacts.store
    url = redact(store.url(made.path))
    is_local = store.address.is_local
    link = Path(url.removeprefix("file://")).resolve().as_uri() if is_local else url
    told = "A browser opens no file from a page of a server: copy the address." if is_local else ""
    create_link_artifact(
        link=link,
        link_text=f"report of {result.run_id}",
        key=artifact_key(result.name, "report"),
        description=escape_markdown(f"The report of run {result.run_id}, one HTML file: {link} {told}"),
    )
