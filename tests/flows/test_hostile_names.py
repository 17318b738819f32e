"""Class names that are code for somebody else: the whole flow takes them as data, and nobody else gets them raw."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest
import yaml
from click.testing import CliRunner
from markdown_it import MarkdownIt

from coder_core.specs import Runtime
from flows.cli import main
from flows.coder_eval import coder_eval
from tests.fixtures_inputs import write_world

from .conftest import Query, newest_artifacts

HOSTILE = (
    "\"quoted\" 'name'",
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "'; DROP TABLE runs; --",
    "../../../etc/passwd",
    "[a link](http://evil.example) ![a picture](http://evil.example/x.png) http://evil.example",
    "| a | table |",
    "{{ event.payload }} ${HOME} $(id) `id` %s {0}",
    '=HYPERLINK("http://evil.example")',
    "x" * 300,
    "Ünïcode 中文 🦆",
)


def cli(*arguments: str) -> str:
    """What a command prints; it must end well."""
    done = CliRunner().invoke(main, arguments)
    assert done.exit_code == 0, done.output
    assert "\x1b" not in done.stdout
    return done.stdout


@pytest.mark.slow
@pytest.mark.usefixtures("prefect_server")
def test_names_are_data_everywhere(tmp_path: Path, runtime: Runtime, query: Query) -> None:
    world = write_world(tmp_path / "world", HOSTILE, images_per_class=6)
    before = {path for path in tmp_path.rglob("*") if path.is_file()}
    asked = {"name": "hostile", "methods": ["clip", "vcd", "coder"], "ablation": {"draws": 1}}
    result = coder_eval({**world.settings, **asked}, [], runtime)

    store = Path(runtime.store)
    after = {path for path in tmp_path.rglob("*") if path.is_file()}
    assert all(path.is_relative_to(store) for path in after - before)
    assert not any(part in str(path.relative_to(store)) for path in store.rglob("*") for part in ("etc", "script"))
    assert {name for (name,) in query("SELECT DISTINCT label_name FROM predictions")} == set(HOSTILE)
    assert {name for (name,) in query("SELECT DISTINCT class_name FROM class_metrics")} == set(HOSTILE)

    shown = {key: found for key, found in newest_artifacts().items() if key.startswith("hostile-")}
    assert {"hostile-summary", "hostile-metrics", "hostile-timings", "hostile-plots"} <= shown.keys()
    for found in shown.values():
        html = MarkdownIt("commonmark").enable("table").render(f"{found.description}\n\n{found.data}")
        assert "<script" not in html
        assert "onerror" not in html
        assert "evil.example" not in html

    shown_images = query("SELECT min(image_id), predicted_name FROM predictions WHERE method = 'coder' GROUP BY 2")
    for image, name in shown_images:
        assert f"{image}: coder says {name}\n" in cli("explain", result.run_id, image, "--store", runtime.store)
    rows = json.loads(
        cli("query", "SELECT DISTINCT label_name FROM predictions", "--store", runtime.store, "--format", "json")
    )
    assert {row["label_name"] for row in rows} == set(HOSTILE)
    plot = tmp_path / "plot.svg"
    cli("ablation", result.run_id, "--plot", str(plot), "--store", runtime.store)
    tags = {element.tag.rpartition("}")[2] for element in ElementTree.parse(plot).iter()}  # noqa: S314 - our own file
    assert "script" not in tags


@pytest.mark.parametrize("name", ["a\x1b[31mred", "two\nlines", "nul\x00", "\u202egnp.exe", ""])
def test_names_that_no_line_can_hold_are_refused_in_one(
    tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    world = write_world(tmp_path / "world", ("wren", "robin"), images_per_class=2)
    settings = {**world.settings, "dataset": {**world.settings["dataset"], "class_names": ["wren", name]}}
    config = tmp_path / "hostile.yaml"
    config.write_text(yaml.safe_dump(settings))
    with pytest.raises(SystemExit) as ended:
        main(["run", str(config), "--store", str(tmp_path / "store")])
    assert ended.value.code in (2, 3)
    told = capsys.readouterr().err
    assert not any(sign in told for sign in ("\x1b", "\x00", "\u202e"))
    assert "name" in told.strip().splitlines()[-1]
