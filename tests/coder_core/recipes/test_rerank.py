"""The rerank in the store: against a loop over images, its counts, its two protocols, and what it refuses."""

from collections.abc import Iterator
from itertools import permutations
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from fsspec.implementations.memory import MemoryFileSystem

from coder_core.errors import ConfigError, DatasetError, LabelLeakError
from coder_core.specs import Runtime
from coder_core.texts.domains import load_domains
from tests.fixtures_inputs import NAMES, World, rewrite_features, write_world

from .conftest import Finished
from .runs import contents, copy_store, forget_files, paired_world, permute_labels, rows, run_spec

METHODS = ("clip", "coder", "coder_rerank")


def loop_over_images(world: World, candidates: list[list[int]]) -> list[int]:
    """The class of every image by the paper's formula: one image, candidate, rival, direction and text at a time."""
    with np.load(world.folder / "texts.npz") as file:
        vector_of = dict(zip(file["texts"].tolist(), file["features"].astype(np.float64), strict=True))
    with np.load(world.folder / "images.npz") as file:
        images = file["features"].astype(np.float64)

    def mean_cosine(image: np.ndarray, own: int, rival: int) -> float:
        cosines = []
        for number in range(2):
            values = {"class": NAMES[own], "rival": NAMES[rival]}
            values["phrase"] = f"{NAMES[own]} and not {NAMES[rival]} mark {number}"
            cosines += [image @ vector_of[sentence.format(**values)] for sentence in load_domains()["bird"].one_to_one]
        return float(np.mean(cosines) / np.linalg.norm(image))

    decided = []
    for image, ids in zip(images, candidates, strict=True):
        scores = []
        for own in ids:
            rivals = [rival for rival in ids if rival != own]
            gains = [mean_cosine(image, own, rival) - mean_cosine(image, rival, own) for rival in rivals]
            scores.append(np.mean(gains))
        decided.append(ids[int(np.argmax(scores))])
    return decided


def decisions(runtime: Runtime, method: str) -> list[int]:
    sql = f"SELECT predicted FROM predictions WHERE method = '{method}' ORDER BY image_id"
    return [row[0] for row in rows(runtime, sql)]


@pytest.fixture(scope="module")
def all_gated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Finished]:
    """A run that looks at every image again."""
    folder = tmp_path_factory.mktemp("all-gated")
    world, runtime = paired_world(folder / "world"), Runtime(store=f"memory://{folder.name}", device="cpu")
    yield Finished(world, runtime, run_spec(world.spec(rerank={"threshold": 2.0}), runtime))
    forget_files(MemoryFileSystem, folder.name)


def test_rerank_decides_as_a_loop_over_images(all_gated: Finished) -> None:
    sql = "SELECT top5 FROM predictions WHERE method = 'coder' ORDER BY image_id"
    looped = loop_over_images(all_gated.world, [row[0] for row in rows(all_gated.runtime, sql)])
    assert decisions(all_gated.runtime, "coder_rerank") == looped
    assert looped != decisions(all_gated.runtime, "coder")


def test_only_uncertain_images_are_looked_at_again(all_gated: Finished, features_run: Finished) -> None:
    everything = decisions(all_gated.runtime, "coder_rerank")
    stage1, some = (decisions(features_run.runtime, method) for method in ("coder", "coder_rerank"))
    assert stage1 == decisions(all_gated.runtime, "coder"), "the worlds are the same"
    assert all(new in (old, again) for new, old, again in zip(some, stage1, everything, strict=True))
    (gated, changed), *_ = rows(features_run.runtime, "SELECT gated, changed FROM reranks")
    assert 0 < changed == sum(new != old for new, old in zip(some, stage1, strict=True)) <= gated < 120


def test_all_images_gated(all_gated: Finished) -> None:
    sql = "SELECT images, gated, pairs_wanted FROM reranks"
    assert rows(all_gated.runtime, sql) == [(120, 120, 120 * 6)], "four classes have six pairs"


@pytest.mark.slow
def test_no_image_gated(tmp_path: Path, runtime: Runtime) -> None:
    run_spec(paired_world(tmp_path / "world").spec(rerank={"threshold": 0.0}), runtime)
    assert rows(runtime, "SELECT images, gated, pairs_wanted FROM reranks") == [(120, 0, 0)]
    same = "SELECT count(DISTINCT predicted) FROM predictions WHERE method <> 'clip' GROUP BY image_id"
    assert set(rows(runtime, same)) == {(1,)}


@pytest.mark.slow
def test_pairs_without_texts_and_with_one_direction_are_counted(tmp_path: Path, runtime: Runtime) -> None:
    one_way = ((NAMES[0], NAMES[1]),)
    both = ((NAMES[1], NAMES[2]), (NAMES[2], NAMES[1]))
    run_spec(paired_world(tmp_path / "world", (*one_way, *both)).spec(rerank={"threshold": 2.0}), runtime)
    sql = "SELECT pairs_wanted, pairs_missing, pairs_one_sided, images_incomplete FROM reranks"
    assert rows(runtime, sql) == [(720, 480, 120, 120)]
    listed = "SELECT class_name, rival_name, images, texts > 0, rival_texts > 0 FROM confused_pairs WHERE texts > 0"
    assert set(rows(runtime, listed)) == {
        (NAMES[0], NAMES[1], 120, True, False),
        (NAMES[1], NAMES[2], 120, True, True),
    }
    assert rows(runtime, "SELECT pairs, uses, images_complete FROM pair_budget") == [
        (1, 120, 0),
        (2, 240, 0),
        (5, 600, 0),
        (6, 720, 120),
    ]


@pytest.mark.slow
def test_a_bank_without_pairs_leaves_stage_1_as_it_is(tmp_path: Path, runtime: Runtime) -> None:
    run_spec(paired_world(tmp_path / "world", ()).spec(rerank={"threshold": 2.0}), runtime)
    assert rows(runtime, "SELECT changed, pairs_missing = pairs_wanted FROM reranks") == [(0, True)]
    same = "SELECT count(DISTINCT predicted) FROM predictions WHERE method <> 'clip' GROUP BY image_id"
    assert set(rows(runtime, same)) == {(1,)}


def test_a_second_run_looks_at_nothing_again(all_gated: Finished, runtime: Runtime) -> None:
    copy_store(all_gated.runtime, runtime)
    second = run_spec(all_gated.world.spec(rerank={"threshold": 2.0}), runtime, "run-2")
    counts = [
        (record.computed, record.reused)
        for record in (run.record("predict_coder_rerank") for run in (all_gated.run, second))
    ]
    assert counts == [(120, 0), (0, 120)]
    assert all_gated.run.predictions == second.predictions
    assert second.computed == {}


@pytest.mark.slow
def test_under_the_reference_protocol_labels_steer_and_every_row_says_so(tmp_path: Path, runtime: Runtime) -> None:
    names = ("a", "b", "c", "d", "e", "f", "g", "h")  # more than five, so that a true class can be out of reach
    world = write_world(tmp_path / "world", names, images_per_class=10, pairs=tuple(permutations(names, 2)))
    settings = {**world.settings, "methods": METHODS, "matrix": {"write": False}, "rerank": {"threshold": 2.0}}
    honest, released = (World(world.folder, {**settings, "protocol": name}) for name in ("honest", "reference"))
    honestly = contents(run_spec(honest.spec(), runtime, "honest"), runtime)
    before = contents(run_spec(released.spec(), runtime, "released"), runtime)
    permute_labels(world)
    other = Runtime(store=f"{runtime.store}-2", device="cpu")
    after = contents(run_spec(released.spec(), other, "run-2"), other)
    assert {m: before[m] for m in ("clip", "coder")} == {m: honestly[m] for m in ("clip", "coder")}
    assert len({honestly["coder_rerank"], before["coder_rerank"], after["coder_rerank"]}) == 3
    gated = dict(rows(runtime, "SELECT protocol, gated FROM reranks"))
    assert gated["reference"] < gated["honest"] == 80
    for table in ("metrics", "predictions", "class_metrics", "confusions", "comparisons", "class_comparisons"):
        sql = f"SELECT DISTINCT method, protocol FROM {table} WHERE run_id = 'released' AND method <> 'coder'"
        marked = dict(rows(runtime, sql))
        assert marked.pop("coder_rerank") == "reference"
        assert set(marked.values()) <= {"honest"}


@pytest.mark.slow
def test_one_class_has_no_rival(tmp_path: Path, runtime: Runtime) -> None:
    world = write_world(tmp_path / "world", NAMES[:1])
    run_spec(world.spec(methods=METHODS, matrix={"write": False}, rerank={"threshold": 2.0}), runtime)
    assert rows(runtime, "SELECT gated, pairs_wanted FROM reranks") == [(0, 0)]
    assert set(decisions(runtime, "coder_rerank")) == {0}


@pytest.mark.slow
def test_classes_with_identical_texts_tie_and_the_lower_id_wins(tmp_path: Path, runtime: Runtime) -> None:
    world = write_world(tmp_path / "world")
    with np.load(world.folder / "texts.npz") as file:
        texts, features = file["texts"].tolist(), file["features"]
    same = {text: features[place] for place, text in enumerate(texts) if NAMES[0] in text}
    twins = [f"{text.replace(NAMES[0], NAMES[3])}" for text in same]
    kept = [(text, row) for text, row in zip(texts, features, strict=True) if text not in twins]
    kept += [(twin, row) for twin, row in zip(twins, same.values(), strict=True)]
    np.savez(world.folder / "texts.npz", texts=[text for text, _ in kept], features=[row for _, row in kept])
    bank = (world.folder / "bank.yaml").read_text()
    classes = [{**entry, "name": NAMES[3]} for entry in yaml.safe_load(bank)["classes"] if entry["name"] == NAMES[0]]
    edited = yaml.safe_load(bank)
    twin = yaml.safe_load(yaml.safe_dump(classes[0]).replace(NAMES[0], NAMES[3]))
    edited["classes"] = [*(entry for entry in edited["classes"] if entry["name"] != NAMES[3]), twin]
    (world.folder / "bank.yaml").write_text(yaml.safe_dump(edited))
    run_spec(world.spec(methods=METHODS, matrix={"write": False}, rerank={"threshold": 2.0}), runtime)
    for method in METHODS:
        predicted = decisions(runtime, method)
        assert 3 not in predicted
        assert 0 in predicted


def validated_world(folder: Path, **validation: Any) -> World:
    """A world whose threshold is chosen on other images."""
    other = write_world(folder / "validation", **{"images_per_class": 10, "first_image": 500, **validation})
    world = paired_world(folder / "world")
    chosen = {"validation": other.settings["dataset"], "rerank": {"choose_threshold": True, "threshold": 0.9}}
    return World(world.folder, {**world.settings, **chosen})


@pytest.mark.slow
def test_a_threshold_is_chosen_on_other_images_and_the_whole_search_is_in_the_tables(
    tmp_path: Path, runtime: Runtime
) -> None:
    world = validated_world(tmp_path)
    chosen = run_spec(world.spec(), runtime).manifest.rerank
    assert chosen is not None
    search = rows(runtime, "SELECT threshold, images_gated, top1 FROM threshold_search ORDER BY 1")
    best = max(top1 for _, _, top1 in search)
    assert chosen.threshold.threshold == min(threshold for threshold, _, top1 in search if top1 == best)
    assert rows(runtime, "SELECT threshold, threshold_source FROM reranks") == [
        (chosen.threshold.threshold, "validation")
    ]
    fixed = {"validation": None, "rerank": {"threshold": chosen.threshold.threshold}}
    again = run_spec(world.spec(**fixed), runtime, "run-2")
    assert "predict_coder_rerank" not in again.computed, "where a threshold comes from does not decide"
    (gated,) = rows(runtime, "SELECT gated FROM reranks WHERE run_id = 'run-2'")[0]
    assert gated == rows(runtime, "SELECT gated FROM reranks WHERE run_id = 'run-1'")[0][0]


def test_validation_images_must_not_be_test_images(tmp_path: Path, runtime: Runtime) -> None:
    world = validated_world(tmp_path)
    with np.load(world.folder / "images.npz") as file, np.load(tmp_path / "validation" / "images.npz") as other:
        leaked = np.vstack([file["features"][:2], other["features"][2:]])
    rewrite_features(World(tmp_path / "validation", {}), features=leaked)
    with pytest.raises(LabelLeakError, match=r"validation: 2 validation images are test images as well"):
        run_spec(world.spec(), runtime)
    assert rows(runtime, "SELECT count(*) FROM runs") == [(0,)]


def test_validation_classes_must_be_the_same_in_order(tmp_path: Path, runtime: Runtime) -> None:
    world = validated_world(tmp_path, names=NAMES[::-1])
    with pytest.raises(DatasetError, match=r"validation: its class list is another one \(class 0 is 'wren' instead"):
        run_spec(world.spec(), runtime)


def test_a_rerank_needs_what_it_looks_at_again(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="looks again at what coder has said"):
        paired_world(tmp_path / "world").spec(methods=["clip", "coder_rerank"])
