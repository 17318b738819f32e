"""Predictions that adapt: all new images together, without labels, move a method of a run before it answers them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
import torch

from coder_core.errors import ConfigError
from coder_core.pipeline.context import Context
from coder_core.pipeline.runner import inline_runner
from coder_core.recipes.adapt import check_adaptable
from coder_core.recipes.predict import Predicted, predict
from coder_core.report.prediction_table import NamedPrediction, read_named
from coder_core.specs import Runtime
from coder_core.steps.build_classifier import read_classifier
from coder_core.steps.embed_images import EmbedImages
from coder_core.steps.load_dataset import ListNewImages
from coder_core.steps.predict_images import read_vectors, usable_images
from coder_core.transduction.fit_batch import fit_batch
from coder_core.transduction.image_batch import in_parts

from .runs import Run, run_spec, write_flag_images, write_flags

pytestmark = pytest.mark.slow


class Published(NamedTuple):
    run: Run
    runtime: Runtime
    few: list[str]
    """New images of two flags of six."""

    def ask(self, images: list[str], method: str, *, adapt: bool = True) -> tuple[Predicted, list[NamedPrediction]]:
        with inline_runner(self.runtime) as runner:
            found = predict(self.run.manifest, images, runner, method=method, adapt=adapt)
        return found, list(read_named(Context.open(self.runtime), found.table))


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    root = tmp_path_factory.mktemp("adapt")
    pool = {"kind": "folder", "path": write_flag_images(root / "pool", 6, seed=3)}
    few_shot = {"pool": pool, "shots": [2], "draws": 1, "methods": ["lda"]}
    settings = {"methods": ["clip", "vcd", "coder", "coder_rerank"], "controls": ["nameless"], "few_shot": few_shot}
    transduction = {"methods": ["batch_discriminant"], "stage1": ["clip", "lda"]}
    runtime = Runtime(store=str(root / "store"), device="cpu")
    run = run_spec(write_flags(root / "flags", **settings, transduction=transduction).spec(), runtime)
    write_flag_images(root / "new", 30, seed=7)
    few = sorted(str(path) for name in ("France", "Netherlands") for path in (root / "new" / name).glob("*.png"))
    return Published(run, runtime, few)


def vectors_of(images: list[str], published: Published) -> torch.Tensor:
    """The images as the run's encoder embeds them."""
    encoder, context = published.run.manifest.encoder, Context.open(published.runtime)
    with inline_runner(published.runtime) as run:
        embedded = run(EmbedImages(images=run(ListNewImages(locations=tuple(images))).images, encoder=encoder))
    parts = [usable_images(context, embedded, part.name) for part in context.parts(embedded)]
    return torch.cat([read_vectors(context, encoder, part).float() for part in parts])


def test_answers_are_those_of_the_library_and_say_what_the_batch_was(published: Published) -> None:
    found, rows = published.ask(published.few, "vcd")
    assert found.batch is not None
    assert (found.batch.batch, found.batch.stage1, found.batch.images) == ("few_classes", "vcd", 60)
    images = vectors_of(published.few, published)
    stage1 = read_classifier(Context.open(published.runtime), published.run.manifest.method("vcd").for_any_image)
    fitted = fit_batch(in_parts(images), stage1, class_texts=torch.nn.functional.normalize(stage1.weights, dim=1))
    assert found.batch.reason == fitted.reason
    shares = fitted.classifier.logits(images).double().softmax(dim=1).amax(dim=1)
    np.testing.assert_allclose([row.probability for row in rows], shares, atol=1e-4)


@pytest.mark.parametrize("method", ["vcd", "coder", "lda"])
def test_few_classes_are_found_and_help(published: Published, method: str) -> None:
    (found, adapted), (_, plain) = (published.ask(published.few, method, adapt=adapt) for adapt in (True, False))
    assert found.batch is not None
    assert found.describe().endswith(found.batch.reason)
    right = [sum(row.class_name == Path(row.image).parent.name for row in rows) for rows in (adapted, plain)]
    assert right[0] >= right[1], found.batch.reason


def test_too_small_a_batch_leaves_stage_1_as_it_is(published: Published) -> None:
    for images in (published.few[:1], published.few[:3]):
        (found, adapted), (_, plain) = (published.ask(images, "coder", adapt=adapt) for adapt in (True, False))
        assert found.batch is not None
        assert found.batch.batch == "nothing"
        assert found.batch.reason.startswith("stage 1 unchanged: ")
        assert adapted == plain


@pytest.mark.parametrize(
    ("method", "why"),
    [
        ("coder_rerank", "an order and no logits.*Adapt coder instead"),
        ("batch_discriminant_on_clip", "the run's own images have moved it already.*Adapt clip instead"),
        ("batch_discriminant_on_lda", "the run's own images have moved it already.*Adapt lda instead"),
        ("control_nameless", "it is a control.*Adapt coder instead"),
    ],
)
def test_what_cannot_adapt_says_what_can(published: Published, method: str, why: str) -> None:
    with pytest.raises(ConfigError, match=rf"{method} cannot adapt: .*{why}"):
        check_adaptable(published.run.manifest, method)
