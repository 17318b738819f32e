"""`coder-eval report`, and the report at the end of a run: a file, a copy in the store, a link on Prefect's page."""

from pathlib import Path

import pytest
from click.testing import CliRunner

from coder_core.care.verifying import verify_store
from coder_core.report.publish_report import report_path
from coder_core.results.result_tables import ResultTables
from coder_core.specs import Runtime
from coder_core.storage.store import Store
from flows.cli import main
from tests.fixtures_inputs import World, write_world

from .conftest import newest_artifacts

pytestmark = pytest.mark.slow


@pytest.fixture
def config(tmp_path: Path) -> str:
    """A small evaluation, as a file."""
    import yaml

    world = write_world(tmp_path / "world", images_per_class=4)
    settings = World(world.folder, {**world.settings, "name": "reported", "methods": ["clip", "coder"]}).settings
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(settings))
    return str(tmp_path / "config.yaml")


def test_a_run_names_its_report_last_and_the_command_writes_the_same(tmp_path: Path, config: str) -> None:
    store, page = Store(str(tmp_path / "store")), tmp_path / "own report.html"
    options = ["--store", store.url(), "--engine", "inline", "--report", str(page)]
    done = CliRunner().invoke(main, ["run", config, *options])
    assert done.exit_code == 0, done.output
    assert str(page) in done.stdout.splitlines()[-1]
    (run_id,) = ResultTables(store).published()
    assert store.read_bytes(report_path(run_id)) == page.read_bytes()
    assert f"Run <bdi>{run_id}</bdi>" in page.read_text()
    again = CliRunner().invoke(
        main, ["report", "reported", "--store", store.url(), "--output", str(tmp_path / "b.html")]
    )
    assert again.exit_code == 0, again.output
    assert f"Run <bdi>{run_id}</bdi>" in (tmp_path / "b.html").read_text()
    found = verify_store(store)
    assert not found.damage
    assert found.findings == (), "a report is no foreign file"


def test_what_cannot_be_done_is_one_line(tmp_path: Path, config: str) -> None:
    store = str(tmp_path / "store")
    assert CliRunner().invoke(main, ["run", config, "--store", store, "--engine", "inline"]).exit_code == 0
    assert not (tmp_path / "store" / "reports").exists(), "none was asked for"
    for arguments, told in (
        (["reportd"], "Did you mean 'reported'"),
        (["--output", str(tmp_path / "no" / "folder.html")], "there is no such folder"),
    ):
        done = CliRunner().invoke(main, ["report", *arguments, "--store", store])
        assert done.exit_code != 0
        (line,) = done.stderr.splitlines()
        assert told in line


@pytest.mark.usefixtures("prefect_server")
def test_prefects_page_links_the_report(tmp_path: Path, config: str) -> None:
    from flows.coder_eval import coder_eval

    store = Store(str(tmp_path / "store"))
    result = coder_eval(config, [], Runtime(store=store.url(), device="cpu", report=True))
    link = newest_artifacts()["reported-report"]
    place = Path(str(tmp_path / "store")) / report_path(result.run_id)
    assert place.as_uri() in str(link.data)
    assert place.read_bytes().startswith(b"<!doctype html>")
