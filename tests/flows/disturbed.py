"""The small evaluation that is killed and run many times at once: everything on, texts from a language model included.

Four classes of five images and a CLIP of one layer: a run takes two seconds. Questions about pairs of classes are asked
after stage 1, of every image, so the language model is called in the middle of a run as well as at its start.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.run_processes import prepare_processes
from bench.scenes import Scene, make_scene
from tests.coder_core.atg.llm_server import LlmServer, serving
from tests.fixtures_inputs import write_photos

GENERATOR = {
    "model": "test-model",
    "kinds": ["attribute", "analogous_class", "one_to_one"],
    "max_similarity": 1.0,
}

EVERY_STEP: dict[str, Any] = {
    "methods": ["clip", "clip_ensemble", "vcd", "coder", "coder_rerank"],
    "texts": {"generator": GENERATOR, "pairs": "confused", "domain": "bird"},
    "rerank": {"threshold": 2.0},
    "controls": ["waffle", "nameless"],
    "ablation": {"draws": 1, "texts_per_class": [2]},
    "matrix": {"write": True},
}
"""What a folder of images allows, few-shot apart."""


@contextmanager
def disturbed_scene(folder: Path, checkpoint: Path, api_url: str) -> Iterator[tuple[Scene, LlmServer]]:
    """The evaluation, and the language model it asks."""
    photos = write_photos(folder / "photos", checkpoint)
    settings = {**photos.settings, **EVERY_STEP, "name": "disturbed"}
    prepare_processes(api_url, folder / "prefect")
    with serving(LlmServer()) as server:
        yield make_scene(folder, settings, CODER_LLM_BASE_URL=server.url, OPENAI_API_KEY="sk-not-checked"), server
