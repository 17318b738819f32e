"""The bank from every source, against a real HTTP server: nothing bought twice, edits survive, no half a bank."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from coder_core.atg.faults import LlmError
from coder_core.atg.settings import LlmRuntime
from coder_core.steps.text_desk import TextDesk

from coder_core import steps
from coder_core.config import validate_spec
from coder_core.specs import EvalSpec, Runtime
from coder_core.texts.bank import source_of
from flows.cli import main
from tests.coder_core.atg.llm_server import LlmServer, serving
from tests.fixtures_inputs import write_image_class

KEY = "sk-test-that-must-not-be-shown"
NAMES = ("red kite", "blue tit", "wren")


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[LlmServer]:
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)
    with serving(LlmServer(key=KEY)) as started:
        yield started


@pytest.fixture
def settings(tmp_path: Path, tiny_clip: Path) -> dict[str, object]:
    """Three classes of images, a tiny CLIP, and a language model that writes the texts."""
    for name in NAMES:
        write_image_class(tmp_path / "images", name, 2)
    return {
        "name": "generated",
        "dataset": {"kind": "folder", "path": str(tmp_path / "images")},
        "encoder": {"kind": "open_clip", "checkpoint": str(tiny_clip)},
        # A tiny random CLIP finds everything alike: no analogue may be dropped for that.
        "texts": {"generator": {"model": "test-model", "max_similarity": 1.0}, "domain": "bird"},
    }


def spec_of(settings: dict[str, object], **texts: object) -> EvalSpec:
    merged = {**settings, "texts": {**settings["texts"], **texts}}  # type: ignore[dict-item]
    return validate_spec(merged, place="test", base=".")


def runtime_of(server: LlmServer, tmp_path: Path, **llm: object) -> Runtime:
    return Runtime(
        store=str(tmp_path / "store"), classes_per_task=2, llm=LlmRuntime(base_url=server.url, max_attempts=2, **llm)
    )


def test_texts_are_bought_once_and_a_new_class_costs_only_its_own(server, settings, tmp_path) -> None:
    runtime = runtime_of(server, tmp_path)
    first = TextDesk(spec_of(settings), runtime).generate(is_batch=False)
    assert (first.generated, first.reused, len(first.failed)) == (6, 0, 0)
    calls = len(server.calls)
    again = TextDesk(spec_of(settings), runtime).generate(is_batch=False)
    assert (again.generated, again.reused) == (0, 6)
    assert len(server.calls) == calls
    write_image_class(tmp_path / "images", "robin", 2)
    grown = TextDesk(spec_of(settings), runtime).generate(is_batch=False)
    assert (grown.generated, grown.reused) == (2, 6)
    assert max(server.good.values()) == 1, "nothing is bought twice"


def test_generated_texts_reach_the_predictions_with_their_source(server, settings, tmp_path) -> None:
    runtime = runtime_of(server, tmp_path)
    desk = TextDesk(spec_of(settings), runtime)
    desk.generate(is_batch=False)
    texts = desk.bank.classes[desk.classes.ids_of("wren")[0]]
    assert "attribute 0 of wren 0" in texts.attributes
    assert {source_of(phrase) for phrase in texts.attributes} == {"llm:test-model"}


def test_a_persons_edits_survive_regeneration(server, settings, tmp_path) -> None:
    runtime = runtime_of(server, tmp_path)
    desk = TextDesk(spec_of(settings), runtime)
    desk.generate(is_batch=False)
    desk.export(tmp_path / "bank.yaml")
    edited = (tmp_path / "bank.yaml").read_text().replace("attribute 0 of wren 0", "a cocked tail")
    (tmp_path / "edited.yaml").write_text(edited)
    said = desk.write_edits(tmp_path / "edited.yaml", tmp_path / "edits.yaml")
    assert "1 phrases added, 1 deleted" in said
    later = TextDesk(spec_of(settings, edits=str(tmp_path / "edits.yaml")), runtime)
    later.generate(is_batch=False)
    attributes = later.bank.classes[later.classes.ids_of("wren")[0]].attributes
    assert "attribute 0 of wren 0" not in attributes
    assert [source_of(phrase) for phrase in attributes if phrase == "a cocked tail"] == ["human"]


def test_a_new_domain_and_a_second_data_set_cost_no_call(server, settings, tmp_path) -> None:
    runtime = runtime_of(server, tmp_path)
    TextDesk(spec_of(settings), runtime).generate(is_batch=False)
    calls = len(server.calls)
    for name in NAMES[:2]:
        write_image_class(tmp_path / "others", name, 1)
    others = {**settings, "dataset": {"kind": "folder", "path": str(tmp_path / "others")}}
    for changed in (spec_of(settings, domain="pet"), spec_of(others)):
        assert TextDesk(changed, runtime).generate(is_batch=False).generated == 0
    assert len(server.calls) == calls


def test_a_spent_budget_stops_cleanly_and_keeps_what_was_bought(server, settings, tmp_path) -> None:
    price = {"test-model": {"input_usd_per_million": 1000.0, "output_usd_per_million": 1000.0}}
    runtime = runtime_of(server, tmp_path, max_cost_usd=1.9, prices=price, concurrency=1)
    desk = TextDesk(spec_of(settings), runtime)
    report = desk.generate(is_batch=False)
    assert report.stopped
    assert 0 < report.generated < 6
    assert report.cost_usd <= 1.9
    with pytest.raises(LlmError, match="What was bought is kept"):
        desk.check(report)
    rest = TextDesk(spec_of(settings), runtime_of(server, tmp_path)).generate(is_batch=False)
    assert (rest.generated, rest.reused) == (6 - report.generated, report.generated)


def test_the_command_line_estimates_buys_and_shows(server, settings, tmp_path, monkeypatch) -> None:
    import yaml

    monkeypatch.setenv("CODER_LLM_BASE_URL", server.url)
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    command = [str(tmp_path / "config.yaml"), "--store", str(tmp_path / "store")]
    dry = CliRunner().invoke(main, ["texts", "generate", *command, "--dry-run"])
    assert "6 calls" in dry.output
    assert server.calls == []
    bought = CliRunner().invoke(main, ["texts", "generate", *command])
    assert "6 generated, 0 reused, 0 failed" in bought.output
    shown = CliRunner().invoke(main, ["texts", "show", *command, "--class", "wren"])
    assert "attribute 0 of wren 0" in shown.output
    assert (dry.exit_code, bought.exit_code, shown.exit_code) == (0, 0, 0)
    unknown = CliRunner().invoke(main, ["texts", "show", *command, "--class", "wrenn"])
    assert unknown.exit_code != 0
    assert "wren" in unknown.output


def test_the_key_is_nowhere_in_the_store(server, settings, tmp_path) -> None:
    runtime = runtime_of(server, tmp_path)
    desk = TextDesk(spec_of(settings), runtime)
    desk.generate(is_batch=False)
    desk.export(tmp_path / "bank.yaml")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 5
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []
    assert KEY not in runtime.model_dump_json()


def test_no_generator_asks_nothing(settings, tmp_path) -> None:
    spec = validate_spec({**settings, "texts": {}, "methods": ["clip"]}, place="test", base=".")
    runtime = Runtime(store=str(tmp_path / "store"))
    classes = TextDesk(spec, runtime)._classes
    assert steps.text_bank.plan_generation(classes, spec.texts, runtime) == []
