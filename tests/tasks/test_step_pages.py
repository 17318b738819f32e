"""Pages of steps: keys that Prefect accepts, stable and never shared; what each step shows, read back from a server."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from prefect import flow
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import ArtifactFilter, ArtifactFilterKey

from coder_core.atg.generation_report import FailedText, GenerationReport, KindCount
from coder_core.pipeline.context import Context
from coder_core.results.schema import FewShotSummaryRow
from coder_core.specs import Runtime
from coder_core.steps.generate_texts import CheckGeneration
from coder_core.steps.preflight import CheckStore
from coder_core.texts.kinds import TextKind
from tasks import step_pages
from tasks.step_pages import artifact_key, show_step, summary_page
from tests.coder_core.report.test_run_plots import result

NAMES = st.from_regex(r"\A[A-Za-z0-9][A-Za-z0-9._-]{0,99}\Z")
"""As `EvalSpec.name` allows."""


@given(NAMES)
@settings(max_examples=50)
def test_prefect_accepts_every_key(name: str) -> None:
    assert re.fullmatch(r"[a-z0-9-]+", artifact_key(name, "metrics"))


@pytest.mark.parametrize(("name", "key"), [("flags", "flags-metrics"), ("dtd-features", "dtd-features-metrics")])
def test_a_plain_name_is_the_key(name: str, key: str) -> None:
    assert artifact_key(name, "metrics") == key


def test_names_that_differ_in_what_a_key_cannot_hold_stay_apart() -> None:
    names = ["a-b", "a_b", "a.b", "A-b", "a--b", "a-b-", "A_B"]
    assert len({artifact_key(name, "metrics") for name in names}) == len(names)
    assert artifact_key("A_B", "metrics") == "a-b-" + artifact_key("A_B", "metrics").split("-")[2] + "-metrics"


@pytest.fixture
def context(tmp_path: Path) -> Context:
    return Context.open(Runtime(store=str(tmp_path / "store"), device="cpu"))


def test_a_step_that_is_not_worth_a_page_shows_nothing(context: Context, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("create_table_artifact", "create_markdown_artifact", "get_run_logger"):
        monkeypatch.setattr(step_pages, name, lambda *_, **__: pytest.fail("shown"))
    show_step(CheckStore(), None, context)


def test_a_run_of_few_shot_methods_alone_has_their_table_on_its_page() -> None:
    told = [("lda", 1, 0.5), ("lda", 16, 0.75), ("tip_adapter", 1, 0.25)]
    rows = [
        FewShotSummaryRow(method=name, shots=shots, draws=3, top1=top1, top1_std=0.01) for name, shots, top1 in told
    ]
    page = summary_page(result().model_copy(update={"few_shot": tuple(rows)}))
    html = MarkdownIt("commonmark").enable("table").render(page)
    assert re.findall(r"<th>(.*?)</th>", html) == ["method", "1 shot %", "16 shots %"]
    assert re.findall(r"<td>(.*?)</td>", html) == ["lda", "50.0 ± 1.0", "75.0 ± 1.0", "tip_adapter", "25.0 ± 1.0", ""]


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_what_a_model_was_asked_about_is_shown_as_data(context: Context) -> None:
    name = "<script>alert(1)</script> | [a link](http://evil.example)"
    failed = FailedText(kind=TextKind.ATTRIBUTE, class_id=0, class_name=name, fault="empty", reason="| no | answer |")
    report = GenerationReport(counts=(KindCount(kind=TextKind.ATTRIBUTE, generated=3, failed=1),), failed=(failed,))

    @flow
    def body() -> None:
        show_step(CheckGeneration(evaluation="pages", reports=(report,)), report, context)

    body()
    with get_client(sync_client=True) as client:
        (found,) = client.read_artifacts(artifact_filter=ArtifactFilter(key=ArtifactFilterKey(any_=["pages-texts"])))
    assert "| attribute | 3 | 0 | 1 |" in str(found.data)
    html = MarkdownIt("commonmark").enable("table").render(str(found.data))
    assert html.count("<tr>") == 1 + 2, "the heading, the kind, and what failed"
    assert "alert(1)" in html
    assert "<script" not in html
    assert "<a " not in html
