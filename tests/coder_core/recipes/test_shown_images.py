"""Texts from labelled images, in whole evaluations against a real HTTP server: which are shown, and who says so."""

import io
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from click.testing import CliRunner
from fsspec.implementations.memory import MemoryFileSystem
from PIL import Image

from coder_core.config import validate_spec
from coder_core.errors import CoderError, LabelLeakError
from coder_core.input_contract import InputContract
from coder_core.packaged import read_packaged
from coder_core.pipeline.artifact_types import TextBankArtifact
from coder_core.pipeline.context import Context
from coder_core.pipeline.runner import InlineRunner
from coder_core.recipes.check import check_evaluation
from coder_core.recipes.compare_runs import compare_runs
from coder_core.recipes.rerank_uncertain import rerank_contract
from coder_core.recipes.sweep import CellOutcome
from coder_core.recipes.sweep_cells import cells_of, load_sweep
from coder_core.recipes.sweep_results import read_sweep
from coder_core.recipes.text_commands import TextBankCommands
from coder_core.specs import EvalSpec, FolderDataset, Runtime
from coder_core.steps.choose_shown_images import ChooseShownImages
from coder_core.steps.load_dataset import LoadDataset
from coder_core.storage.store import Store
from coder_core.texts.kinds import TextKind
from flows.cli import main
from tests.coder_core.atg.llm_server import Call, LlmServer
from tests.fixtures_inputs import write_image_class

from .runs import FLAGS, llm_runtime, rows, run_spec, write_flag_images

TRUE_TEXTS = {
    entry["name"]: entry["attributes"] for entry in yaml.safe_load(read_packaged("demo/flag_texts.yaml"))["classes"]
}
GENERATOR = {"model": "test-model", "kinds": ["attribute"], "images_per_class": 2}


@pytest.fixture
def flags(tmp_path: Path) -> dict[str, Any]:
    """Photographs of six flags to classify, others to learn from, and a model that is shown two of each."""
    pool = {"kind": "folder", "path": write_flag_images(tmp_path / "pool", 5, seed=2)}
    return {
        "name": "flags",
        "dataset": {"kind": "folder", "path": write_flag_images(tmp_path / "images", 3, seed=1)},
        "encoder": {"kind": "open_clip", "checkpoint": "demo:micro-clip"},
        "texts": {"domain": "flag", "generator": GENERATOR},
        "methods": ["clip", "coder"],
        "few_shot": {"pool": pool, "shots": [1], "draws": 1, "methods": ["nearest_mean", "text_discriminant"]},
    }


def spec_of(settings: dict[str, Any], **generator: Any) -> EvalSpec:
    texts = {**settings["texts"], "generator": {**settings["texts"]["generator"], **generator}}
    return validate_spec({**settings, "texts": texts}, place="test", base=".")


def seen(call: Call) -> list[str] | None:
    """A model that reads pictures describes what it sees; by the name alone it knows nothing that tells flags apart."""
    return TRUE_TEXTS[call.names[0]] if call.pictures else [f"a piece of cloth number {n}" for n in range(5)]


def shown(runtime: Runtime, manifest: Any) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = Context.open(runtime).read(manifest.shown.chosen).to_pylist()
    return found


@pytest.mark.slow
def test_an_evaluation_shows_training_images_says_so_and_asks_once(
    flags: dict[str, Any], server: LlmServer, runtime: Runtime, tmp_path: Path
) -> None:
    server.script, spec = seen, spec_of(flags)
    runtime = runtime.model_copy(update={"llm": llm_runtime(server, tmp_path).llm})
    foreseen = check_evaluation(spec, runtime).to_ask
    assert foreseen is not None
    assert (foreseen.calls, foreseen.pictures) == (6, 12)
    assert MemoryFileSystem().find(runtime.store) == [], "a check keeps nothing"
    first = run_spec(spec, runtime, "run-1")
    assert MemoryFileSystem().find(runtime.store)
    assert sorted(call.names[0] for call in server.calls) == sorted(FLAGS)
    sent = {call.names[0]: call.pictures for call in server.calls}
    images = shown(runtime, first.manifest)
    assert {row["image_id"].partition("/")[0] for row in images} == set(FLAGS)
    assert sent == {name: [row["jpeg"] for row in images if row["image_id"].startswith(name + "/")] for name in FLAGS}
    assert {Image.open(io.BytesIO(row["jpeg"])).format for row in images} == {"JPEG"}

    columns = "method, reads_labels, reads_texts"
    assert rows(runtime, f"SELECT DISTINCT {columns} FROM metrics ORDER BY ALL") == [
        ("clip", "none", "class_name"),
        ("coder", "support", "class_name+synonym+attribute+analogous_class+texts_from_images"),
    ]
    few = rows(runtime, f"SELECT DISTINCT {columns} FROM few_shot ORDER BY ALL")
    assert [(row[0], "texts_from_images" in row[2]) for row in few] == [
        ("nearest_mean", False),
        ("text_discriminant", True),
    ]
    sources = "SELECT DISTINCT source FROM texts WHERE kind = 'attribute'"
    assert rows(runtime, sources) == [("llm:test-model+images",)]

    second = run_spec(spec, runtime, "run-2")
    assert len(server.calls) == 6
    assert second.computed == {}
    held = check_evaluation(spec, runtime).to_ask
    assert held is not None
    assert (held.calls, held.reused) == (0, 6)

    commands = TextBankCommands(spec, runtime)
    commands.export(tmp_path / "bank.yaml")
    assert len(server.calls) == 6
    from_file = {**flags, "few_shot": None, "texts": {"domain": "flag", "bank": str(tmp_path / "bank.yaml")}}
    run_spec(validate_spec(from_file, place="test", base="."), runtime, "run-3")
    said = "SELECT DISTINCT reads_labels FROM metrics WHERE method = 'coder' AND run_id = 'run-3'"
    assert rows(runtime, said) == [("support",)], "a bank that was written from images stays one, whoever reads it"


@pytest.mark.slow
def test_a_changed_image_is_another_question_where_it_was_shown(
    flags: dict[str, Any], server: LlmServer, tmp_path: Path
) -> None:
    runtime, pool = llm_runtime(server, tmp_path), tmp_path / "pool"
    spec = spec_of(flags)
    TextBankCommands(spec, runtime).generate(is_batch=False)
    chosen = {row["image_id"] for row in chosen_of(spec, runtime)}
    other = next(path for path in sorted(pool.rglob("*.png")) if path.relative_to(pool).as_posix() not in chosen)
    Image.new("RGB", (30, 20), (1, 2, 3)).save(other)
    TextBankCommands(spec, runtime).generate(is_batch=False)
    assert len(server.calls) == 6, "it was not shown"
    name = sorted(chosen)[0]
    Image.new("RGB", (30, 20), (3, 2, 1)).save(pool / name)
    report = TextBankCommands(spec, runtime).generate(is_batch=False)
    assert [call.names[0] for call in server.calls[6:]] == [name.partition("/")[0]]
    assert (report.generated, report.reused) == (1, 5)


def chosen_of(spec: EvalSpec, runtime: Runtime) -> list[dict[str, Any]]:
    assert spec.few_shot is not None
    run = InlineRunner(runtime)
    pool = run(LoadDataset(source=spec.few_shot.pool))
    step = ChooseShownImages(images=pool.images, labels=pool.labels, images_per_class=2, seed=spec.few_shot.seed)
    found: list[dict[str, Any]] = Context.open(runtime).read(run(step)).to_pylist()
    return found


def test_what_cannot_be_read_is_passed_over_and_a_new_image_moves_no_other(tmp_path: Path, runtime: Runtime) -> None:
    root = tmp_path / "pool"
    for name, count in (("wren", 6), ("red kite", 6), ("blue tit", 1)):
        write_image_class(root, name, count)

    def choose(store: str, *, vanished: str | None = None) -> tuple[list[str], int]:
        run = InlineRunner(runtime.model_copy(update={"store": f"{runtime.store}-{store}"}))
        pool = run(LoadDataset(source=FolderDataset(kind="folder", path=str(root))))
        if vanished is not None:
            (root / vanished).unlink()
        step = ChooseShownImages(images=pool.images, labels=pool.labels, images_per_class=3, seed=1)
        made = run(step)
        table = Context.open(runtime.model_copy(update={"store": f"{runtime.store}-{store}"})).read(made)
        return table.column("image_id").to_pylist(), made.unreadable

    first, unreadable = choose("first")
    assert unreadable == 0
    assert [sum(image_id.startswith(name) for image_id in first) for name in ("wren", "red kite", "blue tit")] == [
        3,
        3,
        1,
    ]
    wrens = [image_id for image_id in first if image_id.startswith("wren")]
    (root / wrens[0]).write_bytes(b"no image any more")
    write_image_class(root, "robin", 4)
    second, unreadable = choose("second", vanished=wrens[1])
    assert unreadable == 2
    others = [image_id for image_id in first if not image_id.startswith("wren")]
    assert [image_id for image_id in second if image_id in others] == others, "neither moves with what others have"
    assert wrens[2] in second
    assert len([image_id for image_id in second if image_id.startswith("wren")]) == 3


@pytest.mark.slow
def test_no_image_under_test_is_shown(flags: dict[str, Any], server: LlmServer, tmp_path: Path) -> None:
    shutil.copytree(tmp_path / "images", tmp_path / "copies")
    few_shot = {**flags["few_shot"], "pool": {"kind": "folder", "path": str(tmp_path / "copies")}}
    runtime, leaking = llm_runtime(server, tmp_path), {**flags, "few_shot": few_shot}
    with pytest.raises(LabelLeakError, match="shown to the language model are test images"):
        run_spec(spec_of(leaking), runtime, "run-1")
    assert server.calls == []
    dropping = spec_of({**leaking, "few_shot": {**few_shot, "drop_shared": True}})
    report = TextBankCommands(dropping, runtime).generate(is_batch=False)
    assert [len(call.pictures) for call in server.calls] == [0] * 6
    assert [few.pictures for few in report.few_pictures] == [0] * 6


def test_the_rerank_has_read_what_the_writer_of_its_texts_saw(flags: dict[str, Any]) -> None:
    spec, stage1 = spec_of(flags), InputContract(reads_texts=("class_name",))
    banks = {
        kinds: TextBankArtifact(key="a bank", pictured_kinds=kinds)
        for kinds in ((), (TextKind.ATTRIBUTE,), (TextKind.ONE_TO_ONE,))
    }
    read = {kinds: rerank_contract(spec, stage1, bank).reads_labels for kinds, bank in banks.items()}
    assert read == {(): "none", (TextKind.ATTRIBUTE,): "none", (TextKind.ONE_TO_ONE,): "support"}
    choosing = spec.model_copy(update={"rerank": spec.rerank.model_copy(update={"choose_threshold": True})})
    assert rerank_contract(choosing, stage1, banks[TextKind.ONE_TO_ONE,]).reads_labels == "support+validation"


FEATURES = {"kind": "features", "path": "features.npz"}
REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "no training set": ({"few_shot": None}, "name a few_shot.pool"),
    "features": (
        {
            "dataset": FEATURES,
            "encoder": {"kind": "precomputed", "texts": [{"path": "texts.npz"}]},
            "few_shot": {"pool": {**FEATURES, "path": "pool.npz"}},
        },
        "no pictures to show",
    ),
    "no kind": ({"texts": {"generator": {**GENERATOR, "kinds": ["synonym"]}}}, "attribute and one_to_one"),
    "no model": ({"texts": {"bank": "demo:flag-texts", "generator": {"images_per_class": 2}}}, "texts.generator.model"),
    "too many": ({"texts": {"generator": {**GENERATOR, "images_per_class": 9}}}, "images_per_class"),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_cannot_be_shown_is_one_error_before_anything_is_opened(name: str) -> None:
    pool = {"kind": "folder", "path": "nowhere"}
    settings: dict[str, Any] = {
        "name": "x",
        "dataset": {"kind": "flags"},
        "encoder": {"kind": "open_clip", "checkpoint": "demo:micro-clip"},
        "texts": {"generator": GENERATOR},
        "few_shot": {"pool": pool},
    }
    changes, said = REFUSED[name]
    with pytest.raises(CoderError) as refused:
        validate_spec({**settings, **changes}, place="test", base=".")
    assert said in str(refused.value)


@pytest.mark.slow
def test_two_generators_are_compared_under_one_budget(server: LlmServer, runtime: Runtime, tmp_path: Path) -> None:
    server.script, asked = seen, llm_runtime(server, tmp_path).llm
    runtime = runtime.model_copy(update={"llm": asked})
    few = ["dataset.images_per_class=1", "few_shot.pool.images_per_class=2", "few_shot.draws=1", "few_shot.shots=[1]"]
    path = Path(__file__).parents[3] / "configs" / "sweeps" / "generators.yaml"
    cells = cells_of(load_sweep(str(path)), str(path.parent), overrides=few)
    assert [cell.name for cell in cells] == ["generators.flags.names", "generators.flags.pictures"]
    for cell in cells:
        assert cell.problem is None, cell.problem
        assert cell.spec is not None
        run_spec(cell.spec, runtime, f"run-{cell.texts}")
    assert {len(call.pictures) for call in server.calls} == {0, 2}  # of four, for each class has two
    found = compare_runs(Context.open(runtime), "run-names", "run-pictures", method="coder")
    attributes = next(text for text in found.texts if text.kind == "attribute")
    assert (attributes.before, attributes.unequal) == (5.0, 0)
    assert attributes.sources_before == ("llm:gpt-4.1-mini",)
    assert attributes.sources_after == ("llm:gpt-4.1-mini+images",)
    coder = next(row for row in found.methods if row.method == "coder")
    assert coder.n == 65
    assert coder.ci_low is not None
    assert 0 < coder.ci_low < coder.difference
    assert coder.p_value < 0.01
    told = CliRunner().invoke(main, ["compare", "run-names", "run-pictures", "--store", str(runtime.store)])
    assert told.exit_code == 0, told.output
    assert "as many in every class" in told.output
    assert "llm:gpt-4.1-mini+images" in told.output
    assert "after: texts were written from labelled images" in told.output
    outcomes = [CellOutcome(cell, "ran", f"run-{cell.texts}") for cell in cells]
    groups = read_sweep("generators", outcomes, Store(runtime.store)).groups
    named = {(row.texts, row.shots, row.method) for group in groups for row in group.rows}
    mark = "(texts from labelled images)"
    assert {("names", None, "coder"), ("pictures", None, f"coder {mark}"), ("pictures", None, "clip")} <= named
    assert ("pictures", 1, f"nearest_mean {mark}") in named, "it is fused with VCD, which reads them"
