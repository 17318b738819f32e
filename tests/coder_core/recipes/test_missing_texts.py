"""Texts that were asked for and never came: a failed run where there is none, else a word in the row and summary."""

import io
from typing import Any

import pytest
from click.testing import CliRunner

from coder_core.config import validate_spec
from coder_core.errors import TextBankError
from coder_core.llm.faults import LlmError
from coder_core.pipeline.context import Context
from coder_core.recipes.published_result import read_result
from coder_core.report.summary import print_summary
from coder_core.specs import EvalSpec
from flows.cli import main

from .runs import llm_runtime, rows, run_spec


def spec_of(settings: dict[str, Any], **changes: Any) -> EvalSpec:
    return validate_spec({**settings, "methods": ["clip", "vcd", "coder"], **changes}, place="test", base=".")


def test_a_run_whose_questions_all_failed_is_a_failed_run(server, settings, tmp_path) -> None:
    runtime = llm_runtime(server, tmp_path, max_bad_answers=1)
    server.script = lambda _call: "other_class"
    with pytest.raises(LlmError, match="none of 6 questions has an answer that can be used"):
        run_spec(spec_of(settings), runtime)
    assert rows(runtime, "SELECT count(*) FROM runs") == [(0,)]


def test_a_method_whose_kind_of_text_failed_for_all_classes_fails_the_run(server, settings, tmp_path) -> None:
    runtime = llm_runtime(server, tmp_path, max_bad_answers=1)
    server.script = lambda call: "other_class" if call.kind == "attribute" else None
    with pytest.raises(TextBankError, match="none of 3 classes has a text that vcd could read, only names"):
        run_spec(spec_of(settings), runtime)


def test_a_class_without_texts_is_told_in_the_row_and_in_the_summary(server, settings, tmp_path) -> None:
    runtime = llm_runtime(server, tmp_path, max_bad_answers=1)
    server.script = lambda call: "other_class" if "wren" in call.names else None
    run = run_spec(spec_of(settings), runtime)
    sql = "SELECT DISTINCT method, classes_without_texts FROM metrics ORDER BY 1"
    assert rows(runtime, sql) == [("clip", None), ("coder", 1), ("vcd", 1)]
    assert "coder had no text about 1 of 3 classes: it judged them by their names alone" in run.result.notes
    printed = io.StringIO()
    print_summary(run.result, printed)
    assert "note: vcd had no text about 1 of 3 classes" in printed.getvalue()


def test_a_kind_of_text_that_failed_is_told_though_another_kind_came(server, settings, tmp_path) -> None:
    runtime = llm_runtime(server, tmp_path, max_bad_answers=1)
    server.script = lambda call: "other_class" if call.kind == "synonym" else None
    generator = {**settings["texts"]["generator"], "kinds": ["attribute", "synonym"]}
    run = run_spec(spec_of(settings, texts={"generator": generator}), runtime)
    assert rows(runtime, "SELECT DISTINCT classes_without_texts FROM metrics WHERE method = 'coder'") == [(0,)]
    assert rows(runtime, "SELECT failed, asked FROM generation WHERE kind = 'synonym'") == [(3, 3)]
    note = "3 of 3 questions for texts of the kind synonym have no usable answer: coder did without these"
    assert [line for line in run.result.notes if "questions" in line] == [note]
    printed = io.StringIO()
    print_summary(run.result, printed)
    assert f"note: {note}" in printed.getvalue()
    context = Context.open(runtime)
    assert read_result(context, run.result.run_id).notes == run.result.notes, "and where the run is shown again"


def test_generating_texts_ends_with_6_where_a_question_failed(server, settings, tmp_path, monkeypatch) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(spec_of(settings).model_dump_json())
    for name, value in (("BASE_URL", server.url), ("MAX_BAD_ANSWERS", "1"), ("BACKOFF_SECONDS", "0.01")):
        monkeypatch.setenv(f"CODER_LLM_{name}", value)
    command = ["texts", "generate", str(config), "--store", str(tmp_path / "store")]
    server.script = lambda call: "other_class" if "wren" in call.names else None
    some = CliRunner().invoke(main, command)
    assert (some.exit_code, "2 failed" in some.output) == (6, True)
    server.script = lambda _call: None
    assert CliRunner().invoke(main, command).exit_code == 0
