"""Every command that the documentation shows is typed, in a folder that holds what the pages speak of.

What cannot be typed here (a network, a server, another machine) is named with the reason; a command that is neither
typed nor named fails.
"""

import json
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml
from click.testing import CliRunner

from coder_core.results.warehouse import Warehouse
from coder_core.storage.store import Store
from flows.cli import main
from tests.coder_core.atg.llm_server import LlmServer, serving
from tests.fixtures_inputs import NAMES, write_bank, write_image_class, write_tiny_clip
from tests.test_docs_paths import PAGES, ROOT

FENCES = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
SHELL = frozenset({"", "bash", "sh", "console"})
TYPED = re.compile(r"(?:\$ )?(?:[A-Z_]+=\S+ )*(?:coder-eval|make|prefect|python|pip|docker|export)\b")
FLAGS_SCRIPT = re.compile(r"^```python\n(\"\"\"Write images/.*?)^```$", re.DOTALL | re.MULTILINE)
FLAGS_CONFIG = re.compile(r"^```yaml\n(name: my-flags\n.*?)^```$", re.DOTALL | re.MULTILINE)
RUN_ID = re.compile(r"my-flags-\d{8}T\d{6}-[0-9a-f]{8}")

NOT_HERE = {
    r"make (run|test)$": "CI types it",
    r"(\S+=\S+ )?make serve$|coder-eval (serve|deploy)": "tests/service type it",
    r"(\S+=\S+ )?prefect ": "needs a server: tests/service and tests/flows type such commands",
    r"docker ": "needs Docker",
    r"CODER_STORE=\S+ python deploy/slurm.py": "needs Slurm",
    r"pip install": "needs a package index",
    r"python -m wn download|coder-eval data get": "needs a network",
    r"python bench/peers.py": "installs other projects",
    r"OMP_NUM_THREADS=1 python bench/predict.py": "takes minutes",
    r"export ": "names what is not ours: keys, passwords, addresses",
    r"CODER_TASK_RUNNER=": "needs a cluster: tests/flows/test_runners_agree.py has one on this machine",
    r"(OMP_NUM_THREADS=1 )?coder-eval (run configs/(dtd|caltech)|sweep configs/sweeps/real)": "needs ../shared/data",
    r"coder-eval sweep configs/paper/": "needs the data sets themselves",
    r"coder-eval (import clip-retrieval|run vectors)": "tests/coder_core/recipes/test_import_retrieval.py",
    r"coder-eval (sweep configs/sweeps/generators|compare generators)": "tests/coder_core/recipes/test_shown_images.py",
    r".*notebooks/questions.py": "tests/test_analysis_page.py types it",
}
FINDINGS = {"doctor": {0, 3}}
"""Where another exit status than 0 is an answer, too."""

LONG = "ViT-B-32/laion2b_s34b_b79k"
"""The model that would be fetched; here a tiny one stands for it."""


class Documented(NamedTuple):
    """A command as it stands on a page, without its comment."""

    page: Path
    line: str

    @property
    def reason(self) -> str | None:
        """Why it is not typed here."""
        return next((why for pattern, why in NOT_HERE.items() if re.match(pattern, self.line)), None)


def documented(page: Path) -> list[Documented]:
    """The commands of a page's blocks, in their order; a quoted text may go over several lines."""
    found = []
    for language, block in FENCES.findall(page.read_text("utf-8")):
        lines = iter(block.splitlines() if language in SHELL else ())
        for line in lines:
            if not TYPED.match(line):
                continue
            while line.count('"') % 2 or line.endswith("\\"):
                line = f"{line.removesuffix(chr(92))} {next(lines).strip()}"
            found.append(Documented(page, re.sub(r"\s+#.*$", "", line.removeprefix("$ "))))
    return found


ALL = [command for page in PAGES for command in documented(page)]


def test_every_reason_is_needed() -> None:
    reasons = {command.reason for command in ALL}
    assert set(NOT_HERE.values()) <= reasons
    assert len([command for command in ALL if command.reason is None]) > 60


class Stage:
    """A folder with configs, photographs, models and a language model; commands are typed in it."""

    def __init__(self, folder: Path, bucket: str) -> None:
        self.folder, self.bucket, self.runner = folder, bucket, CliRunner()
        shutil.copytree(ROOT / "configs", folder / "configs")
        for name in NAMES:
            write_image_class(folder / "photos", name, 8)
        shutil.copytree(folder / "photos", folder / "dtd10")
        write_image_class(folder, "new", 2)
        shutil.copy(folder / "new" / "000.png", folder / "more.jpg")
        (folder / "names.txt").write_text("\n".join(NAMES) + "\n")
        for number, name in enumerate(("my-clip", "other-clip")):
            (folder / name).mkdir()
            write_tiny_clip(folder / name, seed=number)
        write_bank(folder / "edited.yaml", NAMES)
        lists = [[f"{name} mark"] for name in NAMES]
        (folder / "attributes.json").write_text(json.dumps({"class_names": NAMES, "attribute": lists}))
        self._write_configs()

    def _write_configs(self) -> None:
        own = {
            "dataset": {"kind": "folder", "path": "photos"},
            "encoder": {"kind": "open_clip", "checkpoint": "my-clip"},
        }
        written = {
            "domain": "bird",
            "generator": {"model": "test-model", "kinds": ["attribute"], "max_similarity": 1.0},
        }
        configs = {
            "my-config": {**own, "texts": {**written, "bank": "edited.yaml"}},
            "dtd": {**own, "methods": ["clip"]},
            "birds": {**own, "texts": written, "methods": ["clip", "coder"]},
            **{name: {**own, "methods": ["clip"]} for name in ("numbered", "wordnet", "empty", "slipped", "swapped")},
        }
        for name, config in configs.items():
            (self.folder / f"{name}.yaml").write_text(yaml.safe_dump({"name": name, **config}))
        sweep = {"name": "birds", "datasets": {"garden": own["dataset"]}, "models": {"own": own["encoder"]}}
        (self.folder / "sweep.yaml").write_text(yaml.safe_dump({**sweep, "methods": ["clip"]}))

    def type(self, command: str) -> None:
        """Type a command, without what it is piped into, and expect it to work."""
        words = shlex.split(self._filled(command))
        words = words[: next((at for at, word in enumerate(words) if word in ("|", ">", "2>")), len(words))]
        settings = dict(word.split("=", 1) for word in words if re.match(r"[A-Z_]+=", word))
        words = words[len(settings) :]
        if words[0] == "python":
            done = subprocess.run([sys.executable, *words[1:]], capture_output=True, text=True, timeout=300)
            assert done.returncode == 0, done.stderr
            return
        found = self.runner.invoke(main, words[1:], env=settings, input="y\n")
        assert found.exit_code in FINDINGS.get(words[1], {0}), f"{command}\n{found.output}\n{found.exception!r}"

    def _filled(self, command: str) -> str:
        """The command with names of this folder's runs, bucket and models in the place of those of the page."""
        runs = Warehouse(Store("store")).query("SELECT run_id FROM runs ORDER BY started_at").rows
        before, after = (runs[0][0], runs[-1][0]) if runs else ("", "")
        shown = dict.fromkeys(RUN_ID.findall(command))
        names = {"RUN_BEFORE": before, "RUN_AFTER": after, "RUN ": f"{after} ", "s3://bucket": f"s3://{self.bucket}"}
        for old, new in {**dict(zip(shown, (before, after), strict=False)), **names, LONG: "other-clip"}.items():
            command = command.replace(old, new)
        if "coder-eval try " in command:
            command += " --yes --force" + ("" if "--model" in command else " --model my-clip")
        return command

    def prepare(self, page: str) -> None:
        """What the reader of a page has done before."""
        if page in ("new-classes.md", "predict.md"):
            text = (ROOT / "docs" / "new-classes.md").read_text("utf-8")
            (self.folder / "make_flags.py").write_text(FLAGS_SCRIPT.findall(text)[0])
            (self.folder / "flags.yaml").write_text(FLAGS_CONFIG.findall(text)[0])
            for command in ("python make_flags.py Vietnam Switzerland", "coder-eval run flags.yaml"):
                self.type(command)
            for command in ("python make_flags.py", "coder-eval run flags.yaml"):
                self.type(command)
            for name in ("Japan", "Peru"):
                shutil.copy(self.folder / "images" / name / "0000.png", self.folder / "new" / f"{name.lower()}.png")
        elif page in ("peers.md", "try.md", "texts.md"):
            for command in ("coder-eval run birds.yaml", "coder-eval init photos/ --model my-clip"):
                self.type(command)
        elif page not in ("sweep.md", "datasets.md"):
            self.type("coder-eval run configs/flags.yaml")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, new_s3_bucket: Callable[[], str]) -> Iterator[Stage]:
    monkeypatch.chdir(tmp_path)
    with serving(LlmServer()) as server:
        for name, value in {"CODER_STORE": "store", "CODER_LLM_BASE_URL": server.url, "OPENAI_API_KEY": "sk-x"}.items():
            monkeypatch.setenv(name, value)
        yield Stage(tmp_path, new_s3_bucket())


@pytest.mark.thorough
@pytest.mark.timeout(900)
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(not found.reason for found in documented(page))], ids=lambda page: page.name
)
def test_the_commands_of_a_page_work(page: Path, stage: Stage) -> None:
    stage.prepare(page.name)
    for command in documented(page):
        if command.reason is None:
            stage.type(command.line)
