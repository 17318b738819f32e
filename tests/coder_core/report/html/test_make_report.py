"""What stands in a report, against the tables and against sums by hand; and reports of runs that lack something."""

import io
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from PIL import Image

from coder_core.errors import QueryError
from coder_core.pipeline.context import Context
from coder_core.report.html.confusions import order_classes
from coder_core.report.html.thumbnails import make_thumbnails
from coder_core.report.publish_report import write_report
from coder_core.specs import Runtime
from tests.coder_core.recipes.runs import paired_world, rows, run_spec
from tests.coder_core.recipes.test_old_store import OLD, write_old_store
from tests.fixtures_inputs import NAMES, World, rewrite_features, write_photos, write_world

pytestmark = pytest.mark.slow
HOSTILE = (
    "</script><script>document.title='owned'</script>",
    '<img src=x onerror="document.title=1">',
    "\u202egnp.exe",
    "دولة فلسطين",
    "long " * 2_000,
)
METHODS = ["clip", "vcd", "coder", "coder_rerank"]


class Page(HTMLParser):
    """What a browser would see: text of the page, addresses, and the data of its script."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.addresses: list[str] = []
        self.tags: list[str] = []
        self.text, self._inside, data = "", "", ""
        self._data = data
        self.feed(page)
        self.data: dict[str, Any] = json.loads(self._data)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.text += "" if tag == "wbr" else " "
        self._inside = "data" if ("id", "data") in attrs else tag
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href", "action", "srcset")]

    def handle_data(self, data: str) -> None:
        if self._inside == "data":
            self._data += data
        elif self._inside not in ("script", "style"):
            self.text += data

    @property
    def words(self) -> str:
        """Its text, with single spaces."""
        return " ".join(self.text.split())


def report_of(runtime: Runtime, *runs: str, **options: Any) -> Page:
    return Page(write_report(Context.open(runtime), runs or ("latest",), **options).page)


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Runtime:
    folder = tmp_path_factory.mktemp("reported")
    ablation = {"draws": 2, "texts_per_class": [1]}
    world = paired_world(folder / "world", methods=METHODS, ablation=ablation)
    runtime = Runtime(store=str(folder / "store"), device="cpu")
    run_spec(world.spec(), runtime, "world-20260101T000000-a")
    run_spec(world.spec(logit_scale=50.0), runtime, "world-20260102T000000-b")
    return runtime


@pytest.fixture(scope="module")
def page(finished: Runtime) -> Page:
    return report_of(finished, "world-20260101T000000-a", "world-20260102T000000-b")


def test_the_numbers_are_those_of_the_tables(finished: Runtime, page: Page) -> None:
    sql = "SELECT method, value, ci_low, ci_high, n FROM metrics WHERE metric = 'top1' AND run_id LIKE '%-a'"
    own = rows(finished, sql)
    for method, value, low, high, _ in own:
        assert re.search(rf"{method} .*?{100 * value:.1f} ?{100 * low:.1f} to {100 * high:.1f}", page.words), method
    _, value, low, high, n = max(own, key=lambda row: row[1])
    assert page.data["best"] in {row[0] for row in own if row[1] == value}
    assert f"names {100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f}) of {n} images right" in page.words
    assert page.words.count("Run against run") == 1
    assert "logit_scale 50.0 100.0" in page.words, "what differs between the runs: there, and here"


def test_cells_are_what_the_predictions_say(finished: Runtime, page: Page) -> None:
    for method, cells in page.data["confusions"]["cells"].items():
        sql = f"SELECT label, predicted, count(*) FROM predictions WHERE method = '{method}' AND run_id LIKE '%-a' "
        counted = rows(finished, sql + "AND label <> predicted GROUP BY ALL")
        assert sorted(zip(cells["t"], cells["p"], cells["n"], strict=True)) == sorted(counted)
    assert set(page.data["confusions"]["cells"]) == set(METHODS)
    assert sorted(page.data["confusions"]["order"]) == list(range(len(NAMES)))


def test_bars_add_up_to_the_gap_and_the_answer_is_the_methods(page: Page) -> None:
    gallery, classes = page.data["gallery"], page.data["classes"]
    explained = 0
    for group in gallery["groups"]:
        for place, why in group["items"]:
            image = gallery["images"][place]
            said = image["said"][gallery["methods"].index(group["method"])]
            assert sum(share[0] for share in why["shares"]) + why["rest"][1] == pytest.approx(why["gap"], abs=0.01)
            if why["method"] == group["method"]:
                assert why["winner"] == classes[said][0]
            explained += 1
    assert explained > 40


def test_groups_hold_what_their_names_say(finished: Runtime, page: Page) -> None:
    groups = {group["key"]: group for group in page.data["gallery"]["groups"]}
    gallery = page.data["gallery"]
    place = {method: at for at, method in enumerate(gallery["methods"])}
    for key, before, after in (("coder", "clip", "coder"), ("rerank", "coder", "coder_rerank")):
        for kind, first in (("rescued", after), ("broken", before)):
            sql = f"""SELECT count(*) FROM predictions one JOIN predictions two USING (run_id, image_id)
                WHERE run_id LIKE '%-a' AND one.method = '{first}' AND one.is_correct AND NOT two.is_correct
                AND two.method = '{before if first == after else after}'"""
            ((count,),) = rows(finished, sql)
            items = groups[f"{kind}-{key}"]["items"] if f"{kind}-{key}" in groups else []
            assert bool(items) == bool(count)
            assert len(items) <= count
            for at, _ in items:
                image = gallery["images"][at]
                assert image["said"][place[first]] == image["label"]
    surely = [gallery["images"][at]["p"][place[page.data["best"]]] for at, _ in groups["surely"]["items"]]
    assert surely == sorted(surely, reverse=True)


def test_nothing_in_the_page_leads_out_of_it(page: Page) -> None:
    assert page.addresses
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert not {"iframe", "object", "embed", "base", "form action"} & set(page.tags)


def test_features_have_no_pictures_and_the_gallery_says_so(page: Page) -> None:
    assert page.data["pictures"] == {}
    assert "There are no pictures" in page.words


def test_an_unknown_run_is_one_error_that_offers_the_near_name(finished: Runtime, tmp_path: Path) -> None:
    with pytest.raises(QueryError, match="Did you mean 'world'"):
        report_of(finished, "wrld")
    with pytest.raises(QueryError, match="none yet"):
        report_of(Runtime(store=str(tmp_path / "empty"), device="cpu"))


def test_a_run_of_the_first_tree_has_a_report_that_says_what_is_missing(tmp_path: Path) -> None:
    world = write_world(tmp_path / "world", images_per_class=6)
    write_old_store(world, str(tmp_path / "store"))
    page = report_of(Runtime(store=str(tmp_path / "store"), device="cpu"), OLD)
    assert "coder names 50.0 % of 24 images right" in page.words
    assert "not recorded" in page.words
    assert "Not readable any more: manifest:" in page.words
    assert "No texts are shown: the run was published by a version that wrote no manifest." in page.words


def test_a_run_whose_vectors_are_gone_has_a_report_without_them(tmp_path: Path) -> None:
    world = write_world(tmp_path / "world", images_per_class=6)
    runtime = Runtime(store=str(tmp_path / "store"), device="cpu")
    run_spec(World(world.folder, {**world.settings, "methods": ["clip", "coder"]}).spec(), runtime)
    for path in (tmp_path / "store" / "ledgers").rglob("*.parquet"):
        path.unlink()
    page = report_of(runtime)
    assert "No texts are shown:" in page.words
    assert "Doubles and outliers:" in page.words
    assert page.data["gallery"]["groups"]


def test_of_very_many_images_some_are_compared_and_the_page_says_how_many(
    finished: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("coder_core.report.html.quality.MOST_COMPARED", 10)
    assert "among 10 of 120 images, evenly spaced" in report_of(finished).words


def test_one_image_of_one_class_beside_another(tmp_path: Path) -> None:
    world = write_world(tmp_path / "world", NAMES[:2], images_per_class=1)
    with np.load(world.folder / "images.npz") as found:
        rewrite_features(world, features=found["features"][:1], labels=found["labels"][:1])
    runtime = Runtime(store=str(tmp_path / "store"), device="cpu")
    run_spec(World(world.folder, {**world.settings, "methods": ["clip", "coder"]}).spec(), runtime)
    page = report_of(runtime)
    assert "of 1 image right" in page.words
    assert len(page.data["gallery"]["images"]) == 1


def test_hostile_names_are_text(tmp_path: Path) -> None:
    names = tuple(name[:300] for name in HOSTILE)
    world = write_world(tmp_path / "world", names, images_per_class=4)
    runtime = Runtime(store=str(tmp_path / "store"), device="cpu")
    run_spec(World(world.folder, {**world.settings, "methods": ["clip", "vcd"]}).spec(), runtime)
    page = report_of(runtime)
    assert page.tags.count("script") == 3, "the data, Vega, and the page's own"
    assert "img" not in page.tags
    shown = [pair[0] for pair in page.data["classes"]]
    assert shown[:2] == [names[0], names[1]]
    assert shown[2] == "\\u202egnp.exe"
    assert shown[3] == names[3]
    assert len(shown[4]) == 80


def test_pictures_are_shown_until_they_are_gone_or_not_wanted(tmp_path: Path, tiny_clip: Path) -> None:
    world = write_photos(tmp_path / "world", tiny_clip, images_per_class=3)
    runtime = Runtime(store=str(tmp_path / "store"), device="cpu")
    run_spec(World(world.folder, {**world.settings, "methods": ["clip", "coder"]}).spec(), runtime)
    page = report_of(runtime)
    assert set(page.data["pictures"]) == {str(at) for at in range(len(page.data["gallery"]["images"]))}
    assert all(address.startswith("data:image/jpeg;base64,") for address in page.data["pictures"].values())
    assert report_of(runtime, has_pictures=False).data["pictures"] == {}
    images = sorted((world.folder / "images").rglob("*.png"))
    for path in images[1:]:
        path.unlink()
    images[0].write_bytes(b"no picture any more")
    page = report_of(runtime)
    assert page.data["pictures"] == {}
    assert "There are no pictures" in page.words


def test_thumbnails_keep_to_their_budget_and_the_first_ones_stay() -> None:
    def read(_image_ids: object) -> dict[str, bytes]:
        found = {}
        for name in map(str, range(40)):
            pixels = np.random.default_rng(int(name)).integers(0, 255, (200, 300, 3), dtype=np.uint8)
            target = io.BytesIO()
            Image.fromarray(pixels).save(target, format="PNG")
            found[name] = target.getvalue()
        return found

    names = [str(number) for number in range(40)]
    made = make_thumbnails(names, read, budget=20_000)
    assert 0 < len(made.shown) < 40
    assert list(made.shown) == names[: len(made.shown)]
    assert sum(len(address) for address in made.shown.values()) < 20_000 * 1.4
    assert "left out, to keep the file small" in made.note
    everything = make_thumbnails(names, read)
    assert (len(everything.shown), everything.note) == (40, "")


def test_classes_that_are_confused_stand_together() -> None:
    """Three clusters of five, numbers mixed up: each cluster is one stretch of the order, the lonely come last."""
    numbers = np.random.default_rng(0).permutation(18)
    clusters = [numbers[0:5], numbers[5:10], numbers[10:15]]
    pairs = [(int(a), int(b)) for own in clusters for a in own for b in own if a != b]
    table = pa.table({"class_id": [a for a, _ in pairs], "predicted": [b for _, b in pairs], "count": [3] * len(pairs)})
    order = order_classes(table, 18)
    assert sorted(order[15:]) == sorted(numbers[15:].tolist())
    found = [frozenset(order[at : at + 5]) for at in (0, 5, 10)]
    assert set(found) == {frozenset(own.tolist()) for own in clusters}
