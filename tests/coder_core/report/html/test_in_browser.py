"""Reports in a real browser: nothing is asked of a network, nothing fails, and everything works by keyboard.

Without Chromium (Debian: `apt-get install chromium`) these tests are left out. axe-core, which looks for what keeps
people out (contrast, names, roles), is installed by npm into a folder of the tests' own; without npm or its registry
that test is left out. Screenshots go to the folder that REPORT_SCREENSHOTS names, for a person to look at.
"""

import base64
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from coder_core.pipeline.context import Context
from coder_core.report.publish_report import write_report
from coder_core.specs import Runtime
from tests.coder_core.recipes.runs import run_spec, write_flags
from tests.fixtures_deployment import wait_until
from tests.fixtures_inputs import World, write_world
from tests.service.browser import CHROMIUM, Page, browsing

from .test_make_report import HOSTILE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed"),
]
AXE_TAGS = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photographs of six flags: pictures, a rerank, an ablation."""
    folder = tmp_path_factory.mktemp("seen")
    methods, ablation = ["clip", "vcd", "coder", "coder_rerank"], {"draws": 2, "texts_per_class": [1, 2]}
    world = write_flags(folder / "flags", methods=methods, ablation=ablation, rerank={"threshold": 0.5})
    return written(folder, world)


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Names that are code for a browser."""
    folder = tmp_path_factory.mktemp("hostile")
    names = tuple(name[:300] for name in HOSTILE)
    world = write_world(folder / "world", names, images_per_class=6)
    return written(folder, World(world.folder, {**world.settings, "methods": ["clip", "vcd", "coder"]}))


def written(folder: Path, world: World) -> Path:
    runtime = Runtime(store=str(folder / "store"), device="cpu")
    run_spec(world.spec(), runtime)
    page = folder / "report.html"
    page.write_text(write_report(Context.open(runtime), ["latest"]).page, encoding="utf-8")
    return page


@pytest.fixture(scope="module")
def tab(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Page]:
    with browsing(tmp_path_factory.mktemp("profile")) as page:
        for domain in ("Runtime", "Log", "Network", "Page"):
            page.ask(f"{domain}.enable")
        yield page


def opened(tab: Page, page: Path, *, width: int = 1280, **media: Any) -> None:
    """Open a page anew and wait until every chart is drawn."""
    tab.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 500)
    tab.ask("Emulation.setEmulatedMedia", **({"media": "", "features": []} | media))
    tab.open("about:blank#")
    tab.events.clear()
    tab.open(page.as_uri())
    wait_until(lambda: tab.evaluate("document.documentElement.dataset.drawn === 'all'") or None)


def complaints(tab: Page) -> list[Any]:
    """Everything that the browser held against the page, blocked by its policy or thrown by its script."""
    methods = ("Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled")
    return [event["params"] for event in tab.events if event["method"] in methods]


def requests(tab: Page) -> list[str]:
    """Addresses that were asked for; data that the page carries is none."""
    asked = [
        event["params"]["request"]["url"] for event in tab.events if event["method"] == "Network.requestWillBeSent"
    ]
    return [url for url in asked if not url.startswith("data:")]


def focus(tab: Page, selector: str) -> None:
    assert tab.evaluate(f"(document.querySelector({selector!r}).focus(), document.activeElement.matches({selector!r}))")


def first_cells(tab: Page, table: str, column: int) -> list[str]:
    script = f"[...document.querySelectorAll('#{table} tbody tr')].map((row) => row.children[{column}].textContent)"
    return list(tab.evaluate(script))


@pytest.mark.parametrize("which", ["report", "hostile"])
def test_no_error_no_request_and_every_chart(tab: Page, request: pytest.FixtureRequest, which: str) -> None:
    page = request.getfixturevalue(which)
    opened(tab, page)
    assert complaints(tab) == []
    assert requests(tab) == [page.as_uri()]
    empty = "[...document.querySelectorAll('.chart')].filter((one) => !one.querySelector('svg, canvas'))"
    assert tab.evaluate(f"{empty}.map((one) => one.id)") == []
    assert tab.evaluate("document.querySelectorAll('.chart').length") >= 5
    assert tab.evaluate("document.title").endswith("CODER Eval report")
    if which == "hostile":
        names = tab.evaluate(
            "[...document.querySelectorAll('#gains-table tbody td:first-child')].map((one) => one.textContent)"
        )
        assert {HOSTILE[0], HOSTILE[1], "\\u202egnp.exe"} <= set(names)
        assert tab.evaluate("document.querySelectorAll('#content img[src=x]').length") == 0


def test_tables_are_sorted_and_filtered_by_keyboard(tab: Page, report: Path) -> None:
    opened(tab, report)
    focus(tab, "#gains-table th:nth-child(1) button")
    tab.press("Enter", 13)
    names = first_cells(tab, "gains-table", 0)
    assert names == sorted(names)
    assert tab.evaluate("document.querySelector('#gains-table th').getAttribute('aria-sort')") == "ascending"
    tab.press("Enter", 13)
    assert first_cells(tab, "gains-table", 0) == names[::-1]
    focus(tab, "#gains-table input")
    for key in "itA":
        tab.press(key)
    assert first_cells(tab, "gains-table", 0) == ["Italy"]


def test_confusions_are_zoomed_and_moved_by_keyboard(tab: Page, report: Path) -> None:
    opened(tab, report)
    seen = "document.getElementById('confusion-view').textContent"
    assert tab.evaluate(seen) == "rows 1 to 6 of 6"
    focus(tab, "#confusion-frame")
    tab.press("+")
    assert tab.evaluate(seen) == "rows 2 to 5 of 6"
    tab.press("ArrowDown", 40)
    assert tab.evaluate(seen) == "rows 3 to 6 of 6"
    tab.press("0")
    assert tab.evaluate(seen) == "rows 1 to 6 of 6"
    focus(tab, "[data-move=in]")
    tab.press("Enter", 13)
    assert tab.evaluate(seen) == "rows 2 to 5 of 6"


def test_the_gallery_is_filtered_and_says_why_by_keyboard(tab: Page, report: Path) -> None:
    opened(tab, report)
    cards = "document.querySelectorAll('#gallery-cards .card').length"
    assert tab.evaluate(
        "[...document.querySelectorAll('#gallery-cards img')].every((one) => one.naturalWidth && one.alt)"
    )
    focus(tab, "#gallery-groups [data-key=right]")
    tab.press("Enter", 13)
    assert tab.evaluate("document.querySelector('[data-key=right]').getAttribute('aria-pressed')") == "true"
    before = tab.evaluate(cards)
    focus(tab, "#gallery-class")
    for key in "russia":
        tab.press(key)
    assert 0 < tab.evaluate(cards) < before
    focus(tab, "#gallery-cards button")
    tab.press("Enter", 13)
    wait_until(lambda: tab.evaluate("document.querySelector('#chart-why svg') !== null") or None)
    assert tab.evaluate("document.activeElement.textContent") == "Close"
    shares = tab.evaluate("[...document.querySelectorAll('#why-body details b')].map((one) => one.textContent)")
    numbers = [float(share.replace("\u2212", "-")) for share in shares]
    assert sum(numbers[:-1]) == pytest.approx(numbers[-1], abs=0.01), "the bars add up to the gap"
    tab.press("Escape", 27)
    assert tab.evaluate("document.getElementById('why').open") is False


def test_a_line_is_singled_out_by_keyboard(tab: Page, report: Path) -> None:
    opened(tab, report)
    faint = "document.querySelectorAll('#chart-calibration .mark-line path[opacity=\"0.22\"]').length"
    assert tab.evaluate(faint) == 3, "of four methods, the best stands out"
    focus(tab, "#calibration select")
    tab.press("a")  # the first that begins so: all lines
    wait_until(lambda: tab.evaluate(f"{faint} === 0") or None)


def test_the_policy_keeps_markup_from_running_and_the_page_from_asking(tab: Page, report: Path) -> None:
    opened(tab, report)
    tried = """(async () => {
        const script = document.createElement('script'), image = new Image();
        script.textContent = 'window.ran = true';
        document.body.append(script);
        document.body.insertAdjacentHTML('beforeend', '<a id=own onclick="window.ran = true">x</a>');
        document.getElementById('own').click();
        const asked = await fetch('data:text/plain,x').then(() => 'asked', () => 'refused');
        const shown = await new Promise((done) => {
            [image.onload, image.onerror] = [() => done('shown'), () => done('refused')];
            image.src = 'file:///usr/share/pixmaps/debian-logo.png';
        });
        return [window.ran === undefined, asked, shown];
    })()"""
    assert tab.evaluate(tried) == [True, "refused", "refused"]


@pytest.mark.parametrize("width", [390, 1280])
def test_nothing_is_wider_than_the_screen(tab: Page, report: Path, width: int) -> None:
    opened(tab, report, width=width)
    assert tab.evaluate("document.documentElement.scrollWidth") <= width


@pytest.fixture(scope="session")
def axe(tmp_path_factory: pytest.TempPathFactory) -> str:
    """axe-core's script, from npm."""
    npm, folder = shutil.which("npm"), tmp_path_factory.mktemp("axe")
    if npm is None:
        pytest.skip("npm is not installed")
    command = [npm, "install", "--prefix", str(folder), "--ignore-scripts", "--no-audit", "--no-fund", "axe-core@4"]
    if subprocess.run(command, capture_output=True, timeout=120).returncode:
        pytest.skip("npm has no registry")
    return (folder / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")


@pytest.mark.thorough
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_nobody_is_kept_out(tab: Page, report: Path, axe: str, scheme: str) -> None:
    opened(tab, report, features=[{"name": "prefers-color-scheme", "value": scheme}])
    tab.evaluate(axe + "; true")
    told = "one.nodes.slice(0, 3).map((node) => node.html.slice(0, 160) + ' ' + node.failureSummary)"
    run = f"axe.run({{ runOnly: {AXE_TAGS} }}).then((found) => found.violations.map((one) => [one.id, {told}]))"
    assert tab.evaluate(run) == []


@pytest.mark.skipif("REPORT_SCREENSHOTS" not in os.environ, reason="REPORT_SCREENSHOTS names no folder")
def test_screenshots_for_people(tab: Page, report: Path) -> None:
    folder = Path(os.environ["REPORT_SCREENSHOTS"])
    folder.mkdir(exist_ok=True)
    for name, width, media in (
        ("light", 1280, {}),
        ("dark", 1280, {"features": [{"name": "prefers-color-scheme", "value": "dark"}]}),
        ("phone", 390, {}),
        ("print", 794, {"media": "print"}),
    ):
        opened(tab, report, width=width, **media)
        height = tab.evaluate("document.documentElement.scrollHeight")
        area = {"x": 0, "y": 0, "width": width, "height": min(height, 16_000), "scale": 1}
        picture = tab.ask("Page.captureScreenshot", captureBeyondViewport=True, clip=area)["data"]
        (folder / f"{name}.png").write_bytes(base64.b64decode(picture))
