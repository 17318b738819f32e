"""CLIP, its template ensemble and VCD against loops in plain Python."""

import math

import pytest
import torch

from coder_core.baselines.clip import build_clip, build_clip_ensemble
from coder_core.baselines.vcd import build_vcd
from coder_core.classes import ClassList
from coder_core.errors import ConfigError, FeatureFileError
from coder_core.texts.bank import ClassTexts, TextBank
from coder_core.texts.domains import load_domains
from coder_core.texts.sentences import build_texts
from coder_core.texts.text_layout import build_layout

CLASSES = ClassList(("crane", "goose", "crane", "owl"))
BANK = TextBank(
    (
        ClassTexts(attributes=("a long neck", "long legs", "grey"), analogous_classes=("heron",)),
        ClassTexts(attributes=("a beak",)),
        ClassTexts(attributes=("a steel arm", "a cabin")),
        ClassTexts(synonyms=("night bird",)),
    )
)
TABLE = build_texts(CLASSES, BANK, load_domains()["bird"])
LAYOUT = build_layout(TABLE)
RANDOM = torch.randn(LAYOUT.text_count + 6, 16, generator=torch.Generator().manual_seed(5))
UNIT = torch.nn.functional.normalize(RANDOM, dim=1)
TEXTS, IMAGES = UNIT[: LAYOUT.text_count], UNIT[LAYOUT.text_count :]
VECTOR_OF = dict(zip(TABLE.unique_texts(), TEXTS.tolist(), strict=True))


def vectors(class_id, kind):
    return [VECTOR_OF[row.text] for row in TABLE if (row.class_id, row.kind) == (class_id, kind)]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def close(actual, expected):
    torch.testing.assert_close(actual, torch.tensor(expected), atol=2e-5, rtol=0)
    return True


def test_clip_is_the_cosine_with_the_name():
    expected = [
        [100 * dot(image, vectors(class_id, "class_name")[0]) for class_id in range(4)] for image in IMAGES.tolist()
    ]
    assert close(build_clip(TEXTS, LAYOUT).logits(IMAGES), expected)


def test_the_ensemble_is_the_cosine_with_the_mean_prompt():
    means = []
    for class_id in range(4):
        prompts = vectors(class_id, "template")
        mean = [sum(column) / len(prompts) for column in zip(*prompts, strict=True)]
        means.append([value / math.sqrt(dot(mean, mean)) for value in mean])
    expected = [[100 * dot(image, mean) for mean in means] for image in IMAGES.tolist()]
    assert close(build_clip_ensemble(TEXTS, LAYOUT).logits(IMAGES), expected)


def test_vcd_is_the_mean_over_attributes_and_falls_back_to_the_name():
    expected = []
    for image in IMAGES.tolist():
        row = []
        for class_id in range(4):
            texts = vectors(class_id, "attribute") or vectors(class_id, "class_name")
            row.append(100 * sum(dot(image, text) for text in texts) / len(texts))
        expected.append(row)
    assert vectors(3, "attribute") == []
    assert close(build_vcd(TEXTS, LAYOUT).logits(IMAGES), expected)


@pytest.mark.parametrize("build", [build_clip, build_clip_ensemble, build_vcd])
def test_half_precision_images_and_scale(build):
    classifier = build(TEXTS, LAYOUT, logit_scale=1.0)
    torch.testing.assert_close(classifier.logits(IMAGES) * 100, build(TEXTS, LAYOUT).logits(IMAGES))
    assert classifier.logits(IMAGES.half()).dtype == torch.float32
    assert classifier.logits(IMAGES[:0]).shape == (0, 4)


@pytest.mark.parametrize("build", [build_clip, build_clip_ensemble, build_vcd])
def test_embeddings_of_other_texts_are_refused(build):
    with pytest.raises(FeatureFileError, match="text embeddings for"):
        build(TEXTS[:-1], LAYOUT)


def test_the_ensemble_without_prompts_is_refused():
    table = build_texts(CLASSES, BANK, load_domains()["bird"], kinds=["attribute"])
    layout = build_layout(table)
    with pytest.raises(ConfigError, match="class 0 has no prompt texts"):
        build_clip_ensemble(TEXTS[: layout.text_count], layout)
