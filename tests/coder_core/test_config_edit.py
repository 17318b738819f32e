"""`doctor --fix` edits a config that a person keeps: nothing but `class_names` changes."""

import pytest
import yaml

from coder_core.config_edit import write_class_names
from coder_core.errors import ConfigError

CONFIG = """# my birds
name: birds   # an evaluation
dataset:
  kind: folder
  path: images  # beside this file

# what embeds
encoder: {kind: open_clip, checkpoint: ./clip}
"""


def test_other_lines_stay_as_they_are() -> None:
    edited = write_class_names(CONFIG, {"AnnualCrop": "annual crop", "yes": "7"}, place="x.yaml")
    assert edited.startswith(CONFIG)
    assert yaml.safe_load(edited)["class_names"] == {"AnnualCrop": "annual crop", "yes": "7"}


def test_an_older_mapping_is_replaced_in_its_place() -> None:
    before = CONFIG.replace("\n# what embeds", "class_names:\n  a: b # once\n  c: d\n\n# what embeds")
    edited = write_class_names(before, {"a": "e"}, place="x.yaml")
    assert edited == CONFIG.replace("\n# what embeds", "class_names:\n  a: e\n\n# what embeds")
    assert write_class_names(edited, {"a": "e"}, place="x.yaml") == edited
    at_the_end = write_class_names("name: x\nclass_names: {a: b}", {"a": "c"}, place="x.yaml")
    assert at_the_end == "name: x\nclass_names:\n  a: c\n"


def test_a_config_without_a_last_line_end_or_with_an_end_mark_works() -> None:
    assert write_class_names("name: x", {"a": "b"}, place="x").splitlines() == ["name: x", "class_names:", "  a: b"]
    marked = write_class_names("name: x\n...\n", {"a": "b"}, place="x")
    assert yaml.safe_load(marked) == {"name": "x", "class_names": {"a": "b"}}


def test_braces_are_refused() -> None:
    with pytest.raises(ConfigError, match="braces"):
        write_class_names('{"name": "x"}', {"a": "b"}, place="x.json")
