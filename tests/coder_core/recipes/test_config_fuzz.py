"""Whatever a config says, wherever its paths lead: a result or one error of ours with a remedy, never a traceback."""

import random
import string
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from coder_core.config import validate_spec
from coder_core.errors import CoderError, SeveralProblemsError
from coder_core.recipes.check import check_evaluation
from coder_core.specs import EvalSpec, Runtime
from tests.fixtures_inputs import World, write_world

SEEDS = range(20)
CASES_PER_SEED = 20
PROTOCOLS = (
    *(
        "zip",
        "tar",
        "hf",
        "github",
        "webhdfs",
        "ftp",
        "sftp",
        "hdfs",
        "git",
        "dask",
        "reference",
        "dir",
        "data",
        "jupyter",
    ),
    *("simplecache", "memory", "file", "s3a", "gs", "abfs", "nosuch", "demo", "oci", "lakefs", "smb", "", "libarchive"),
)
RESTS = (
    "",
    "x",
    "bucket/key.npz",
    "a:b@main/c",
    "127.0.0.1:9/x",
    "[::1",
    "user:pw@127.0.0.1:9/x",
    "a b/\u00fc",
    "../..",
    "\0",
)
VALIDATOR_WORDS = ("Input should", "pydantic", "a valid ", "Field required", "type=", "Value error", "validation error")
"""What pydantic says in its own words, of which none may come through."""


def random_value(rng: random.Random) -> Any:
    """A value that YAML could hold."""
    makers: list[Callable[[], Any]] = [
        lambda: None,
        lambda: rng.choice([True, False]),
        lambda: rng.choice([0, -1, 1, 2**70, 10**400, rng.randrange(100)]),
        lambda: rng.choice([0.5, -0.0, float("nan"), float("inf"), 1e308]),
        lambda: "".join(rng.choices(string.printable + "\u00e9\u202e\U0001f427", k=rng.randrange(12))),
        lambda: random_url(rng),
        lambda: [random_value(rng) for _ in range(rng.randrange(3))],
        lambda: {rng.choice(["kind", "path", "model", "x", ""]): random_value(rng) for _ in range(rng.randrange(3))},
    ]
    return rng.choice(makers)()


def random_url(rng: random.Random) -> str:
    return f"{rng.choice(PROTOCOLS)}{rng.choice(['://', ':', ''])}{rng.choice(RESTS)}"


def places_in(settings: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Every path of keys and positions in some settings."""
    items = (
        settings.items() if isinstance(settings, dict) else enumerate(settings) if isinstance(settings, list) else ()
    )
    return [path, *(place for key, below in items for place in places_in(below, (*path, key)))]


def changed(settings: Any, place: tuple[Any, ...], value: Any) -> Any:
    """The settings with one value replaced."""
    if not place:
        return value
    copy = dict(settings) if isinstance(settings, dict) else list(settings)
    copy[place[0]] = changed(settings[place[0]], place[1:], value)
    return copy


def problems_of(settings: Any, base: Path, runtime: Runtime) -> list[CoderError]:
    """What is wrong with settings, as `coder-eval check` would say it."""
    try:
        spec = validate_spec(settings, place="c.yaml", base=str(base))
        return check_evaluation(spec, runtime).problems
    except SeveralProblemsError as error:
        return list(error.problems)
    except CoderError as error:
        return [error]


def assert_explained(problems: list[CoderError], case: object) -> None:
    for problem in problems:
        line = str(problem)
        assert problem.problem, case
        assert problem.remedy, (case, line)
        assert len(line.splitlines()) == 1, case
        assert "Traceback" not in line, case
        assert not [word for word in VALIDATOR_WORDS if word in line.replace(repr(case), "")], (case, line)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> World:
    return write_world(tmp_path_factory.mktemp("fuzz") / "world", images_per_class=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", SEEDS)
def test_any_value_at_any_place_of_a_config(plain: World, seed: int, runtime: Runtime) -> None:
    rng = random.Random(seed)
    settings = {**plain.settings, "rerank": {"threshold": 0.1}, "few_shot": {"pool": plain.settings["dataset"]}}
    settings |= {"ablation": {"draws": 1}, "texts": {**plain.settings["texts"], "generator": {"model": "gpt-4o-mini"}}}
    places = [place for place in places_in(settings) if place]
    for _ in range(CASES_PER_SEED):
        place, value = rng.choice(places), random_value(rng)
        assert_explained(problems_of(changed(settings, place, value), plain.folder, runtime), (place, value))


@pytest.mark.parametrize("protocol", sorted(set(PROTOCOLS) - {"hf"}))
def test_any_url_for_any_input(plain: World, protocol: str, runtime: Runtime) -> None:
    rng = random.Random(protocol)
    for place in (("dataset", "path"), ("texts", "bank"), ("encoder", "texts", 0, "path")):
        url = f"{protocol}://{rng.choice(RESTS)}"
        found = problems_of(changed(plain.settings, place, url), plain.folder, runtime)
        assert found, url
        assert_explained(found, url)


def test_without_the_package_of_wordnet_one_line_names_the_extra(
    plain: World, runtime: Runtime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "wn", None)
    monkeypatch.delitem(sys.modules, "coder_core.wordnet.lexicon", raising=False)
    texts = {**plain.settings["texts"], "wordnet": "oewn:2024"}
    (problem,) = problems_of({**plain.settings, "texts": texts}, plain.folder, runtime)
    assert "pip install 'coder-eval[wordnet]'" in str(problem)


def test_every_bound_of_every_setting_is_told_in_our_words() -> None:
    """The schema that pydantic makes says which bounds there are; each is broken once."""
    broken = {
        "exclusiveMinimum": -1,
        "minimum": -1,
        "maximum": 10**9,
        "minLength": "",
        "pattern": "-?",
        "maxLength": "a" * 999,
    }
    schema = EvalSpec.model_json_schema()
    top = {name: field for name, field in schema["properties"].items() if broken.keys() & field.keys()}
    assert top
    flags = {"kind": "flags"}
    base = {"name": "x", "dataset": flags, "encoder": {"kind": "open_clip", "checkpoint": "demo:micro-clip"}}
    for name, field in top.items():
        for bound in broken.keys() & field.keys():
            found = problems_of({**base, name: broken[bound]}, Path("/"), Runtime(store="memory://bounds"))
            assert found, (name, bound)
            assert_explained(found, broken[bound])
