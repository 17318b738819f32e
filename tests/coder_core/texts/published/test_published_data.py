"""The texts that circulate with the method, all files of them, where they are at hand."""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from coder_core.classes import ClassList
from coder_core.texts.bank_file import parse_text_bank, write_text_bank
from coder_core.texts.published.published_texts import read_published_texts
from coder_core.texts.published.repair import Action

DATA = Path(__file__).parents[5] / "shared" / "data"
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not (DATA / "texts").is_dir(), reason="the published texts are not at hand"),
]

# data set: classes, then per kind (found, kept, classes or pairs that have some), names and classes left over
EXPECTED = {
    "caltech101": (
        100,
        {
            "attribute": (635, 633, 99),
            "analogous_class": (601, 591, 100),
            "synonym": (120, 108, 51),
            "one_to_one": (184, 120, 34),
        },
        {("Faces", "synonym", 5), ("Human Faces", "one_to_one", 64)},
        (),
    ),
    "cub200": (
        200,
        {
            "attribute": (1312, 1312, 200),
            "analogous_class": (1337, 1337, 200),
            "synonym": (17, 11, 7),
            "one_to_one": (10672, 10634, 2927),
        },
        set(),
        (),
    ),
    "dtd": (
        47,
        {
            "attribute": (193, 193, 47),
            "analogous_class": (294, 282, 47),
            "synonym": (3, 2, 2),
            "one_to_one": (7370, 7351, 1662),
        },
        set(),
        (),
    ),
    "eurosat": (
        10,
        {"attribute": (25, 25, 10), "analogous_class": (60, 60, 10), "one_to_one": (754, 452, 90)},
        {
            ("residential buildings", "one_to_one", 75),
            ("herbaceous vegetation", "one_to_one", 75),
            ("industrial buildings", "one_to_one", 75),
            ("highway", "one_to_one", 75),
        },
        (),
    ),
    "fgvc_aircraft": (
        100,
        {"attribute": (862, 860, 100), "analogous_class": (568, 568, 100), "synonym": (3, 1, 1)},
        set(),
        (),
    ),
    "food101": (
        101,
        {"attribute": (499, 499, 96), "analogous_class": (619, 607, 101), "one_to_one": (15651, 15574, 4062)},
        set(),
        (),
    ),
    "imagenet": (1000, {"attribute": (5800, 5800, 1000), "analogous_class": (5369, 5343, 998)}, set(), ()),
    "oxford_flowers": (102, {"attribute": (596, 595, 102), "analogous_class": (663, 615, 102)}, set(), ()),
    "oxford_pets": (37, {"analogous_class": (190, 188, 37), "one_to_one": (1813, 1812, 426)}, set(), ()),
    "places365": (
        365,
        {"attribute": (2108, 2105, 364), "analogous_class": (2114, 2091, 365), "one_to_one": (16041, 16017, 4823)},
        set(),
        (),
    ),
    "stanford_cars": (196, {"attribute": (1464, 1464, 196), "analogous_class": (1194, 1187, 196)}, set(), ()),
    "sun397": (397, {"attribute": (2873, 2862, 393), "analogous_class": (2129, 2048, 353)}, set(), (3, 7, 9, 18)),
    "ucf101": (101, {"attribute": (471, 471, 101), "analogous_class": (603, 603, 101)}, set(), ()),
}


@cache
def read(dataset, **options):
    path = DATA / "texts" / f"{dataset}.json"
    return read_published_texts(path.read_text(encoding="utf-8"), place=path.name, **options)


def test_there_are_thirteen_files_although_their_readme_says_fourteen():
    assert sorted(path.stem for path in (DATA / "texts").glob("*.json")) == sorted(EXPECTED)


@pytest.mark.parametrize("dataset", sorted(EXPECTED))
def test_every_file_is_read_and_what_did_not_match_is_counted(dataset):
    report = read(dataset).report
    counts = {row.kind.value: (row.found, row.kept, row.slots) for row in report.counts}
    unmatched = {(row.name, row.kind.value, row.phrases) for row in report.unmatched}
    assert (len(report.class_names), counts, unmatched, report.without_texts) == EXPECTED[dataset]
    lost = sum(row.phrases for row in report.unmatched) + sum(report.rule_counts(Action.DROPPED).values())
    assert sum(row.found for row in report.counts) == sum(row.kept for row in report.counts) + lost


@pytest.mark.parametrize("dataset", sorted(EXPECTED))
def test_every_file_survives_the_projects_own_format(dataset):
    classes, bank, _ = read(dataset)
    assert parse_text_bank(write_text_bank(bank, classes), place="bank.yaml", classes=classes) == bank


def test_another_class_list_of_imagenet_finds_its_classes_by_name_and_shares_what_it_has_twice():
    path = DATA / "features" / "text_bank.npz"
    if not path.is_file():
        pytest.skip("the list of older ImageNet names is not at hand")
    with np.load(path, allow_pickle=False) as arrays:
        names = arrays["names"][arrays["sources"] == "clip_lt/imagenet"]
    classes = ClassList(tuple(map(str, names)))
    report = read("imagenet", classes=classes).report
    assert {(row.name, row.class_ids) for row in report.shared} == {("maillot", classes.ids_of("maillot"))}
    assert len(report.without_texts) == 288
    nearest = {row.name: row.nearest for row in report.unmatched}
    assert nearest["Bullmastiff"] == "bull mastiff"
