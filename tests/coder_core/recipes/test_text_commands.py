"""The bank from every source, against a real HTTP server: nothing bought twice, edits survive, no half a bank."""

import json
from collections import Counter
from typing import Any

import pytest
import yaml
from click.testing import CliRunner

from coder_core.config import validate_spec
from coder_core.llm.faults import LlmError
from coder_core.pipeline.context import Context
from coder_core.pipeline.runner import InlineRunner
from coder_core.recipes.text_commands import TextBankCommands
from coder_core.specs import EvalSpec
from coder_core.steps.generate_texts import CheckGeneration, PlanGeneration
from coder_core.steps.load_dataset import LoadDataset
from coder_core.texts.bank import source_of
from flows.cli import main
from tests.fixtures_inputs import write_image_class

from .conftest import GENERATED_NAMES as NAMES
from .conftest import LLM_KEY as KEY
from .runs import llm_runtime, rows, run_spec

OWN = {"garden": {"class_name": "a {class} in a garden", "attribute": "{class} in a garden, {attribute}"}}


def spec_of(settings: dict[str, Any], **texts: object) -> EvalSpec:
    return validate_spec({**settings, "texts": {**settings["texts"], **texts}}, place="test", base=".")


def test_texts_are_bought_once_and_a_new_class_costs_only_its_own(server, settings, tmp_path) -> None:
    runtime = llm_runtime(server, tmp_path)
    first = TextBankCommands(spec_of(settings), runtime).generate(is_batch=False)
    assert (first.generated, first.reused, len(first.failed)) == (6, 0, 0)
    calls = len(server.calls)
    again = TextBankCommands(spec_of(settings), runtime).generate(is_batch=False)
    assert (again.generated, again.reused) == (0, 6)
    assert len(server.calls) == calls
    write_image_class(tmp_path / "images", "robin", 2)
    grown = TextBankCommands(spec_of(settings), runtime).generate(is_batch=False)
    assert (grown.generated, grown.reused) == (2, 6)
    assert max(server.good.values()) == 1, "nothing is bought twice"


def test_nothing_is_to_be_asked_once_all_answers_are_held_those_of_further_rounds_too(
    server, settings, tmp_path
) -> None:
    """A random CLIP finds all names alike: every analogue is dropped and asked for again, twice."""
    settings["texts"] = {"generator": {"model": "test-model", "max_similarity": 0.01, "analogue_rounds": 2}}
    spec, runtime = spec_of(settings), llm_runtime(server, tmp_path)
    assert not TextBankCommands(spec, runtime).is_nothing_to_ask()
    first_round = spec_of(settings, generator={**settings["texts"]["generator"], "analogue_rounds": 0})
    TextBankCommands(first_round, runtime).generate(is_batch=False)
    commands = TextBankCommands(spec, runtime)
    assert commands.estimate(is_batch=False).calls == 0
    assert not commands.is_nothing_to_ask(), "the further rounds are not held"
    commands.generate(is_batch=False)
    calls = len(server.calls)
    assert calls == 6 + 2 * 3
    assert TextBankCommands(spec, runtime).is_nothing_to_ask()
    assert len(server.calls) == calls, "looking asks nobody"


@pytest.mark.slow
@pytest.mark.usefixtures("tiny_clip")
def test_try_asks_before_it_pays_and_not_where_all_answers_are_held(
    server, settings, tmp_path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OPENAI_BASE_URL", server.url)
    monkeypatch.setenv("CODER_DEVICE", "cpu")
    model = settings["encoder"]["checkpoint"]
    typed = ["try", "images", "--model", model, "--texts", "llm:test-model", "--store", "store"]
    asked = CliRunner().invoke(main, typed)
    assert (asked.exit_code, server.calls) == (2, []), asked.output
    assert CliRunner().invoke(main, [*typed, "--yes"]).exit_code == 0
    calls = len(server.calls)
    again = CliRunner().invoke(main, typed)
    assert again.exit_code == 0, again.output
    assert "all answers of test-model are held: nothing is paid" in again.output
    assert len(server.calls) == calls > 0


@pytest.mark.slow
def test_an_evaluation_buys_once_also_about_the_pairs_that_it_confuses(server, settings, tmp_path) -> None:
    runtime = llm_runtime(server, tmp_path)
    spec = spec_of({**settings, "methods": ["clip", "coder", "coder_rerank"], "rerank": {"threshold": 2.0}})
    spec = spec.model_copy(update={"texts": spec.texts.model_copy(update={"pairs": "confused"})})
    first = run_spec(spec, runtime, "run-1")
    assert Counter(call.kind for call in server.calls) == dict.fromkeys(
        ("attribute", "analogous_class", "one_to_one"), 3
    )
    generated = {record.step for record in first.records("generate_texts")}
    assert generated == {"generate_texts"}
    assert len(first.records("generate_texts")) == 3, "two chunks of classes, one of pairs"
    second = run_spec(spec, runtime, "run-2")
    assert len(server.calls) == 9
    assert second.computed == {}
    counted = "SELECT run_id, kind, asked, generated, reused, failed FROM generation ORDER BY ALL"
    kinds = ("analogous_class", "attribute", "one_to_one")
    assert rows(runtime, counted) == [
        *(("run-1", kind, 3, 3, 0, 0) for kind in kinds),
        *(("run-2", kind, 3, 0, 3, 0) for kind in kinds),
    ]
    sources = "SELECT kind, source, count(*) FROM texts WHERE run_id = 'run-1' GROUP BY ALL ORDER BY ALL"
    assert ("attribute", "llm:test-model", 15) in rows(runtime, sources)
    assert {kind for kind, source, _ in rows(runtime, sources) if source == "llm:test-model"} == {
        "attribute",
        "analogous_class",
        "one_to_one",
    }


def test_generated_texts_reach_the_bank_with_their_source(server, settings, tmp_path) -> None:
    commands = TextBankCommands(spec_of(settings), llm_runtime(server, tmp_path))
    commands.generate(is_batch=False)
    texts = commands.bank.classes[commands.classes.ids_of("wren")[0]]
    assert "attribute 0 of wren 0" in texts.attributes
    assert {source_of(phrase) for phrase in texts.attributes} == {"llm:test-model"}


def test_a_persons_edits_survive_regeneration(server, settings, tmp_path) -> None:
    runtime = llm_runtime(server, tmp_path)
    commands = TextBankCommands(spec_of(settings), runtime)
    commands.generate(is_batch=False)
    commands.export(tmp_path / "bank.yaml")
    edited = (tmp_path / "bank.yaml").read_text().replace("attribute 0 of wren 0", "a cocked tail")
    (tmp_path / "edited.yaml").write_text(edited)
    message = commands.write_edits(tmp_path / "edited.yaml", tmp_path / "edits.yaml")
    assert "1 phrase added, 1 deleted" in message
    later = TextBankCommands(spec_of(settings, edits=str(tmp_path / "edits.yaml")), runtime)
    later.generate(is_batch=False)
    attributes = later.bank.classes[later.classes.ids_of("wren")[0]].attributes
    assert "attribute 0 of wren 0" not in attributes
    assert [source_of(phrase) for phrase in attributes if phrase == "a cocked tail"] == ["human"]


def test_sentences_of_ones_own_and_a_second_data_set_cost_no_call(server, settings, tmp_path) -> None:
    runtime = llm_runtime(server, tmp_path)
    TextBankCommands(spec_of(settings), runtime).generate(is_batch=False)
    calls = len(server.calls)
    for name in NAMES[:2]:
        write_image_class(tmp_path / "others", name, 1)
    others = {**settings, "dataset": {"kind": "folder", "path": str(tmp_path / "others")}}
    for changed in (spec_of(settings, domain="garden", domains=OWN), spec_of(others)):
        report = TextBankCommands(changed, runtime).generate(is_batch=False)
        assert report.generated == 0
        assert report.reused > 0
    assert len(server.calls) == calls


def test_a_spent_budget_stops_cleanly_and_keeps_what_was_bought(server, settings, tmp_path) -> None:
    price = {"test-model": {"input_usd_per_million": 1000.0, "output_usd_per_million": 1000.0}}
    runtime = llm_runtime(server, tmp_path, max_cost_usd=1.9, prices=price, concurrency=1)
    report = TextBankCommands(spec_of(settings), runtime).generate(is_batch=False)
    assert report.stopped
    assert 0 < report.generated < 6
    assert report.cost_usd <= 1.9
    with pytest.raises(LlmError, match="What was bought is kept"):
        Context.open(runtime).do(CheckGeneration(evaluation="generated", reports=(report,)))
    rest = TextBankCommands(spec_of(settings), llm_runtime(server, tmp_path)).generate(is_batch=False)
    assert (rest.generated, rest.reused) == (6 - report.generated, report.generated)


@pytest.mark.slow
def test_an_evaluation_with_half_a_bank_is_no_evaluation(server, settings, tmp_path) -> None:
    price = {"test-model": {"input_usd_per_million": 1000.0, "output_usd_per_million": 1000.0}}
    runtime = llm_runtime(server, tmp_path, max_cost_usd=1.9, prices=price, concurrency=1)
    with pytest.raises(LlmError, match="What was bought is kept"):
        run_spec(spec_of(settings), runtime)
    assert rows(runtime, "SELECT count(*) FROM runs") == [(0,)]
    bought = sum(server.good.values())
    run_spec(spec_of(settings), llm_runtime(server, tmp_path))
    assert 0 < bought < 6
    assert max(server.good.values()) == 1


def test_the_command_line_estimates_buys_and_shows(server, settings, tmp_path, monkeypatch) -> None:
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
    runtime = llm_runtime(server, tmp_path)
    run_spec(spec_of(settings), runtime)
    TextBankCommands(spec_of(settings), runtime).export(tmp_path / "bank.yaml")
    written = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(written) > 50
    assert [path for path in written if KEY.encode() in path.read_bytes()] == []
    assert KEY not in runtime.model_dump_json()


def test_no_generator_asks_nothing(settings, runtime) -> None:
    spec = validate_spec({**settings, "texts": {}, "methods": ["clip"]}, place="test", base=".")
    run = InlineRunner(runtime)
    dataset = run(LoadDataset(source=spec.dataset))
    assert run(PlanGeneration(classes=dataset.classes, texts=spec.texts)) == []
    assert "generate_texts" not in {record.step for record in run_spec(spec, runtime).result.records}


def test_a_published_file_is_imported_with_aliases_and_a_kind(photos, tmp_path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(photos.settings))
    names = ("red kite", "blue tit", "green finch", "jenny")
    source = tmp_path / "synonyms.json"
    source.write_text(json.dumps({name: [f"{name} alias"] for name in names}))
    out = tmp_path / "bank.yaml"
    command = ["texts", "import", str(source), "--classes", str(config), "--out", str(out), "--kind", "synonym"]
    done = CliRunner().invoke(main, [*command, "--alias", "jenny=wren"])
    assert done.exit_code == 0, done.output
    bank = yaml.safe_load(out.read_text())
    assert {entry["name"]: entry["synonyms"][0] for entry in bank["classes"]}["wren"] == "jenny alias"
    assert all("attributes" not in entry for entry in bank["classes"])
    other = [*command, "--alias", "jennyx=wren"]
    assert "jennyx" in CliRunner().invoke(main, other).output
    wrong = CliRunner().invoke(main, [*command, "--alias", "jenny"])
    assert (wrong.exit_code, "of the form old=new" in wrong.output) == (2, True)


def test_a_file_with_other_content_is_replaced_only_by_force(photos, tmp_path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(photos.settings))
    out = tmp_path / "exported.yaml"
    command = ["texts", "export", str(config), "--out", str(out), "--store", str(tmp_path / "store")]
    assert CliRunner().invoke(main, command).exit_code == 0
    content = out.read_text()
    assert CliRunner().invoke(main, command).exit_code == 0, "the same again is no loss"
    out.write_text(content.replace("wren mark 0", "a cocked tail"))
    refused = CliRunner().invoke(main, command)
    assert (refused.exit_code, "replace it with --force" in refused.output) == (3, True)
    assert "a cocked tail" in out.read_text()
    assert CliRunner().invoke(main, [*command, "--force"]).exit_code == 0
    assert out.read_text() == content


def test_an_import_that_matches_nothing_fails_and_names_the_option_that_is_missing(photos, tmp_path) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(yaml.safe_dump(photos.settings))
    source = tmp_path / "texts.json"
    source.write_text(json.dumps({"zebra": ["has stripes"]}))
    command = ["texts", "import", str(source), "--out", str(tmp_path / "bank.yaml")]
    without = CliRunner().invoke(main, command)
    assert (without.exit_code, "--classes" in without.output) == (3, True)
    nothing = CliRunner().invoke(main, [*command, "--classes", str(config)])
    assert (nothing.exit_code, "none of its texts is about a class" in nothing.output) == (3, True)
    assert not (tmp_path / "bank.yaml").exists()
