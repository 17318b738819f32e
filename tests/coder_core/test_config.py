"""A wrong config is one error that names the place as its writer wrote it, the value, and the remedy."""

import pickle
import time
from pathlib import Path

import fsspec
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coder_core.config import apply_override, load_spec, validate_spec
from coder_core.config_errors import FORMS
from coder_core.errors import CoderError, ConfigError, InputError
from coder_core.specs import EvalSpec, Runtime
from coder_core.specs.sweep_spec import SweepSpec

CONFIGS = Path(__file__).parents[2] / "configs"
FLAGS = {"kind": "flags"}
CLIP = {"kind": "open_clip", "checkpoint": "openai", "architecture": "ViT-B-32"}
FOLDER = {"kind": "folder", "path": "x"}
RECIPE = {"mean": [0, 0, 0], "std": [1, 1, 1], "interpolation": "bicubic", "resize_mode": "shortest"}
SMALLEST = {"name": "a", "dataset": FLAGS, "encoder": CLIP, "methods": ["clip"]}


@pytest.fixture
def config(tmp_path):
    """Writes a config; gives its path."""

    def write(**changes):
        path = tmp_path / "configs" / "x.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(yaml.safe_dump({**SMALLEST, **changes}), "utf-8")
        return str(path)

    return write


def attempt(call):
    """What a call gives, or its refusal."""
    try:
        return call()
    except ConfigError as error:
        return error


def refusal(config, overrides=()):
    with pytest.raises(ConfigError) as caught:
        load_spec(config, overrides)
    assert caught.value.remedy
    assert caught.value.exit_code == 2
    return caught.value


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_that_ships_loads_from_anywhere(path, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_spec(str(path)).name == path.stem


def test_the_demonstration_is_the_default():
    assert load_spec() == load_spec("demo:flags")
    assert load_spec().dataset.kind == "flags"
    assert (CONFIGS / "flags.yaml").is_file()
    assert load_spec(str(CONFIGS / "flags.yaml")) == load_spec()


@pytest.mark.parametrize(
    ("changes", "place", "problem", "remedy"),
    [
        ({"datset": FLAGS}, "datset", "unknown key 'datset'", "Did you mean 'dataset'?"),
        ({"dataset": {**FLAGS, "sed": 1}}, "dataset.sed", "unknown key 'sed'", "Did you mean 'seed'?"),
        ({"seed": 1}, "seed", "unknown key 'seed'", "belongs to `dataset.seed`"),
        ({"max_similarity": 1}, "max_similarity", "unknown key", "belongs to `texts.generator.max_similarity`"),
        ({"texts": {"generator": {"modl": "x"}}}, "texts.generator.modl", "unknown key 'modl'", "'model'?"),
        ({"dataset": {**FLAGS, "path": "x"}}, "dataset.path", "unknown key 'path'", "another kind has it. Keys are"),
        ({"xyz": 1}, "xyz", "unknown key 'xyz'", "Keys are: ablation, baseline, calibrate, class_names, controls"),
        ({"device": "cpu"}, "device", "unknown key 'device'", "CODER_DEVICE"),
        (
            {"dataset": {**FLAGS, "images_per_class": "many"}},
            "dataset.images_per_class",
            "whole number, found 'many'",
            "",
        ),
        ({"dataset": {**FLAGS, "images_per_class": 0}}, "dataset.images_per_class", "at least 1, found 0", ""),
        ({"dataset": {}}, "dataset.kind", "required and absent", "features, flags, folder"),
        ({"dataset": {"kind": "flag"}}, "dataset.kind", "no kind 'flag'", "Did you mean 'flags'?"),
        ({"dataset": [1]}, "dataset", "settings by key, found [1]", ""),
        ({"dataset": {"kind": "folder"}}, "dataset.path", "required and absent", "Add it"),
        ({"encoder": {"kind": "open_clip"}}, "encoder.checkpoint", "required and absent", "Add it"),
        ({"encoder": {"kind": "precomputed", "texts": [{"pth": "x"}]}}, "encoder.texts.0.pth", "'pth'", "'path'?"),
        ({"ablation": {"texts_per_class": []}}, "ablation.texts_per_class", "the list is empty", ""),
        ({"name": False}, "name", "expected text", ""),
        ({"methods": "clip"}, "methods", "expected a list, found 'clip'", ""),
        ({"methods": ["clip", "codr"]}, "methods.1", "no 'codr'", "Did you mean 'coder'?"),
        ({"texts": {"domains": {"x": {"y": 3}}}}, "texts.domains.x.y", "expected text", ""),
        ({"texts": {"domains": {"x": {"y": [3]}}}}, "texts.domains.x.y.0", "expected text", ""),
        ({"texts": None}, "texts", "expected settings by key, found None", ""),
        ({"class_names": {3: "a"}}, "class_names.3", "keys are text", ""),
        ({"dataset": {**FOLDER, "classes": {"kind": "file"}}}, "dataset.classes.path", "required and absent", "Add it"),
        ({"dataset": {**FOLDER, "classes": {"kind": "fil"}}}, "dataset.classes.kind", "no kind 'fil'", "mean 'file'?"),
        ({"dataset": {**FOLDER, "classes": {}}}, "dataset.classes.kind", "absent", "Kinds are: file, folder, query"),
        ({"few_shot": {"pool": {"kind": "folder"}}}, "few_shot.pool.path", "required and absent", "Add it"),
        ({"encoder": {**CLIP, "preprocess": "x"}}, "encoder.preprocess", "there is no 'x'", "Known are: openai"),
        (
            {"encoder": {**CLIP, "preprocess": {**RECIPE, "sdt": 1}}},
            "encoder.preprocess.sdt",
            "unknown",
            "Did you mean",
        ),
        ({"logit_scale": float("inf")}, "logit_scale", "found inf", ""),
    ],
)
def test_what_is_wrong_is_named(config, changes, place, problem, remedy):
    path = config(**changes)
    error = refusal(path)
    assert error.place == f"{path}: {place}"
    assert problem in error.problem
    assert remedy in error.remedy
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("field", "value"), [("path", 3), ("features", 3), ("labels", []), ("class_names", {"a": 1}), ("class_names", 3)]
)
def test_a_field_named_like_its_kind_is_still_found(config, field, value):
    path = config(dataset={"kind": "features", "path": "x.npz", **{field: value}})
    assert refusal(path).place == f"{path}: dataset.{field}"


WHOLE = {
    **SMALLEST,
    "dataset": {"kind": "folder", "path": "x", "classes": {"kind": "file", "path": "x.txt"}},
    "encoder": {**CLIP, "preprocess": RECIPE},
    "texts": {"domains": {"x": {"class_name": ["{class}"]}}, "generator": {"model": "m", "sampling": {"seed": 1}}},
    "few_shot": {"pool": {"kind": "split", "path": "x", "split_file": "y", "split": "train"}},
    "validation": {"kind": "features", "path": "x.npz", "class_names": ["a"]},
    "ablation": {"texts_per_class": [1]},
    "class_names": {"a": "b"},
}


def places_in(node, path=()):
    below = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    return [*([path] if path else []), *(place for key, child in below for place in places_in(child, (*path, key)))]


def with_value(node, path, value):
    if not path:
        return value
    changed = dict(node) if isinstance(node, dict) else list(node)
    changed[path[0]] = with_value(node[path[0]], path[1:], value)
    return changed


def names_in(schema):
    """Every key that a config may have."""
    own = set(schema.get("properties", {})) if isinstance(schema, dict) else set()
    below = schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ()
    return own.union(*map(names_in, below))


@pytest.mark.parametrize(
    "value",
    [None, [[1]], {"zz": 1}, *(pytest.param(one, marks=pytest.mark.slow) for one in (3, -1, "zz", [], {}, {3: 4}))],
    ids=repr,
)
def test_a_place_is_the_path_that_its_writer_wrote(value):
    """Variants and types that a validator tried are no keys: nobody has written them."""
    known = names_in(EvalSpec.model_json_schema()) | {"zz", "x", "a", "3", "class_name"}
    for path in places_in(WHOLE):
        outcome = attempt(lambda path=path: load_spec(with_value(WHOLE, path, value)))
        for problem in getattr(outcome, "problems", [outcome] if isinstance(outcome, ConfigError) else []):
            steps = problem.place.removeprefix("config").removeprefix(": ").split(".")
            assert [step for step in steps if step and not step.isdecimal() and step not in known] == [], (
                path,
                problem,
            )


@pytest.mark.parametrize("key", ["name", "dataset", "encoder"])
def test_a_missing_key_is_named(key):
    settings = {other: value for other, value in SMALLEST.items() if other != key}
    error = refusal(settings)
    assert error.place == f"config: {key}"
    assert "required and absent" in error.problem


def test_what_contradicts_itself_is_told_without_a_key(config):
    path = config(methods=["clip", "coder"])
    error = refusal(path)
    assert error.place == path
    assert "required by coder" in error.problem


def test_keys_are_text():
    assert str(refusal({**SMALLEST, 1: 2})).startswith("config: 1: keys are text, found 1.")


def test_several_errors_are_all_told_each_once_unknown_keys_first():
    error = refusal({**SMALLEST, "name": 1, "logit_scale": 0, "x": 1})
    assert [problem.place for problem in error.problems] == ["config: x", "config: name", "config: logit_scale"]
    assert str(error.problems[2]) == "config: logit_scale: expected a number above 0.0, found 0. See docs/settings.md."
    assert pickle.loads(pickle.dumps(error)).problems[0].problem == "unknown key 'x'."  # noqa: S301
    assert error.exit_code == 2


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"name: [", "not readable as YAML"),
        (b"\xff\xfe\x00", "not YAML"),
        (b"name: a\nname: b", "'name' is there twice"),
        (b"[" * 500, "nested deeper"),
        (b"[" * 5000, "nest"),
        (b"day: 2024-13-01", "not readable as YAML"),
        (b"- clip", "expected settings by key, found a list"),
        (b"", "expected settings by key, found nothing"),
        (b"just text", "found one text"),
    ],
)
def test_what_is_no_mapping_in_yaml_is_refused(tmp_path, content, problem):
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    error = refusal(str(path))
    assert error.place == str(path)
    assert problem in error.problem


def test_a_byte_order_mark_is_no_key(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_bytes(b"\xef\xbb\xbf" + yaml.safe_dump(SMALLEST).encode())
    assert load_spec(str(path)).name == "a"


@pytest.mark.parametrize("name", ["absent.yaml", ".", "absent/x.yaml"])
def test_a_file_that_cannot_be_read_is_an_input_error(tmp_path, name):
    with pytest.raises(InputError) as caught:
        load_spec(str(tmp_path / name))
    assert str(tmp_path) in caught.value.place


def test_a_secret_in_a_url_is_not_repeated():
    fsspec.filesystem("memory").pipe("/secret/x.yaml?token=hush", b"- 1")
    assert "hush" not in str(refusal("memory://secret/x.yaml?token=hush"))


def test_relative_paths_are_read_from_the_folder_of_the_config(config, tmp_path, monkeypatch):
    monkeypatch.chdir("/")
    folder = {"kind": "folder", "path": "images"}
    path = config(dataset=folder, encoder={**CLIP, "checkpoint": "./clip"}, texts={"bank": "../bank.yaml"})
    spec = load_spec(path)
    assert spec.dataset.path == str(tmp_path.resolve() / "configs" / "images")
    assert spec.encoder.checkpoint == str(tmp_path.resolve() / "configs" / "clip")
    assert spec.texts.bank == str(tmp_path.resolve() / "bank.yaml")


def test_tags_and_urls_are_no_relative_paths(config):
    spec = load_spec(config(dataset={"kind": "folder", "path": "s3://bucket/images"}))
    assert spec.encoder.checkpoint == "openai"
    assert spec.dataset.path == "s3://bucket/images"


def test_a_config_in_memory_reads_beside_itself():
    settings = {**SMALLEST, "dataset": {"kind": "folder", "path": "images"}, "texts": {"bank": "../bank.yaml"}}
    fsspec.filesystem("memory").pipe("/test-config/configs/x.yaml", yaml.safe_dump(settings).encode())
    spec = load_spec("memory://test-config/configs/x.yaml")
    assert spec.dataset.path == "memory://test-config/configs/images"
    assert spec.texts.bank == "memory://test-config/bank.yaml"


def test_settings_themselves_start_from_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    spec = load_spec({**SMALLEST, "dataset": {"kind": "folder", "path": "images"}})
    assert spec.dataset.path == str(tmp_path.resolve() / "images")


def test_the_demonstration_with_a_path_of_ones_own_starts_from_the_working_directory(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert load_spec("demo:flags", ["texts.bank=bank.yaml"]).texts.bank == str(tmp_path.resolve() / "bank.yaml")


SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
DOCUMENTS = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner)
)


@given(key=st.sampled_from(sorted(EvalSpec.model_fields)), value=DOCUMENTS)
def test_any_settings_are_accepted_or_refused_with_a_place(key, value):
    outcome = attempt(lambda: validate_spec({**SMALLEST, key: value}, place="x.yaml", base="/"))
    assert isinstance(outcome, EvalSpec | ConfigError)
    if isinstance(outcome, ConfigError):
        assert outcome.place.startswith("x.yaml")
        assert outcome.remedy


def test_every_form_of_a_text_has_words():
    def patterns(node):
        if isinstance(node, dict):
            yield from ([node["pattern"]] if isinstance(node.get("pattern"), str) else [])
            for below in node.values():
                yield from patterns(below)
        elif isinstance(node, list):
            for below in node:
                yield from patterns(below)

    found = {form for model in (EvalSpec, SweepSpec, Runtime) for form in patterns(model.model_json_schema())}
    assert found <= FORMS.keys()
    assert len(found) == len(FORMS)


@pytest.mark.parametrize(
    "content",
    [
        "root:*:19000:0:99999:7:::\ndaemon:*:19000:0:99999:7:::\n",
        "root:$y$hunter2:19000:0:99999:7:::",
        "hunter2: hunter2\n",
        "[client]\npassword = hunter2\n",
        "- hunter2\n",
        '"hunter2"',
        "hunter2: [hunter2",
        "hunter2 = x\nhunter2: : y",
        b"\xffhunter2",
        "%hunter2\n---\nx: y",
        "&hunter2 x",
        "!hunter2 x",
        "*hunter2",
        "key: *hunter2",
        "{'hunter2': 1}",
        "-----BEGIN KEY-----\nhunter2\n-----END KEY-----\n",
    ],
)
def test_a_file_that_is_no_config_is_not_shown(tmp_path: Path, content: str | bytes) -> None:
    path = tmp_path / "secret"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ConfigError) as error:
        load_spec(str(path))
    assert "hunter2" not in str(error.value)
    assert "19000" not in str(error.value)


def test_a_config_is_read_within_bounds(tmp_path: Path) -> None:
    levels = "".join(f"a{level}: &a{level} [{','.join([f'*a{level - 1}'] * 9)}]\n" for level in range(1, 10))
    for content, reason in (
        ("a0: &a0 [x, x, x, x, x, x, x, x, x]\n" + levels, "more than 300,000 values"),
        ("name: " + "[" * 100_000, "nest"),
        ("draw_seed: " + "9" * 4_000, "a number of 4,000 characters"),
        ("name: " + "x" * 1_000_000, "a text of 1,000,000 characters"),
        ("#" * 10_000_001, "more than 10000000"),
    ):
        (tmp_path / "x.yaml").write_text(content)
        with pytest.raises(CoderError, match=reason) as error:
            load_spec(str(tmp_path / "x.yaml"))
        assert len(str(error.value)) < 500
    with pytest.raises(CoderError, match="a device and not a file"):
        load_spec("/dev/zero")


LONG_TO_READ = {
    "documents": "---\n" * 100_000,
    "unknown keys": "".join(f"k{number}: 1\n" for number in range(50_000)),
    "quotes": "name: " + "'\"" * 40_000,
    "signs": "- " * 20_000,
    "wrong items": "name: x\nmethods: [" + "{}, " * 20_000 + "]\n",
}


@pytest.mark.slow
@pytest.mark.parametrize("what", LONG_TO_READ)
def test_a_config_that_is_made_to_take_long_is_an_error_at_once(what: str, tmp_path: Path) -> None:
    (tmp_path / "c.yaml").write_text(LONG_TO_READ[what])
    started = time.process_time()
    with pytest.raises(CoderError) as error:
        load_spec(str(tmp_path / "c.yaml"))
    assert time.process_time() - started < 8.0
    assert len(str(error.value)) < 40_000


def test_a_key_path_without_an_end_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"^--set: expected key\.path=value"):
        apply_override({}, ".".join("a" * 5_000) + "=1")
