"""JSON, JSON Lines and YAML in the shapes in which class lists come, and no bracket for a class."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from coder_core.class_source.structured_formats import parse_json_classes, parse_jsonl_classes, parse_yaml_classes
from coder_core.errors import InputError, UnfinishedInputError

NAMES = st.lists(st.text(st.characters(exclude_categories=["Cs", "Cc", "Z"]), min_size=1, max_size=6), max_size=5)


def pairs(entries):
    return [(entry.name, entry.stable_id) for entry in entries]


def of_json(document):
    return pairs(parse_json_classes(json.dumps(document).encode(), "x.json"))


def of_yaml(text):
    return pairs(parse_yaml_classes(text.encode(), "x.yaml"))


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (["cat", " dog "], [("cat", None), ("dog", None)]),
        ([{"name": "cat"}, {"label": "dog"}, {"class": "owl"}], [("cat", None), ("dog", None), ("owl", None)]),
        ([{"id": 18, "name": "dog", "supercategory": "animal"}], [("dog", "18")]),
        ([{"class_name": "dog", "name": "no", "class_id": "n1", "id": 5}], [("dog", "n1")]),
        ({"0": "tench", "10": "shark", "2": "goldfish"}, [("tench", "0"), ("goldfish", "2"), ("shark", "10")]),
        ({"n02": "goldfish", "n01": "tench"}, [("goldfish", "n02"), ("tench", "n01")]),
        (
            {"1": ["n01443537", "goldfish"], "0": ["n01440764", "tench"]},
            [("tench", "n01440764"), ("goldfish", "n01443537")],
        ),
        ({"goldfish": 1, "tench": 0}, [("tench", "0"), ("goldfish", "1")]),
        ({"7": 1, "3": 0}, [("3", "0"), ("7", "1")]),
        ({"names": ["cat", "dog"], "nc": 2, "path": "x"}, [("cat", None), ("dog", None)]),
        ({"categories": [{"id": 1, "name": "cat"}], "images": []}, [("cat", "1")]),
        ({"id2label": {"1": "b", "0": "a"}, "label2id": {"a": 0, "b": 1}}, [("a", "0"), ("b", "1")]),
        ([], []),
        ({}, []),
    ],
)
def test_json_of_every_shape(document, expected):
    assert of_json(document) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "- no\n- 007\n- 2024-01-01\n- 1e3\n- ~\n",
            [("no", None), ("007", None), ("2024-01-01", None), ("1e3", None), ("~", None)],
        ),
        ("names: [cat, dog]\n", [("cat", None), ("dog", None)]),
        ("[cat, dog]", [("cat", None), ("dog", None)]),
        ("0: tench\n10: shark\n2: goldfish\n", [("tench", "0"), ("goldfish", "2"), ("shark", "10")]),
        ("tench: 0\ngoldfish: 1\n", [("tench", "0"), ("goldfish", "1")]),
        ("0: '1'\n1: '0'\n", [("1", "0"), ("0", "1")]),
        ("- {id: 01, name: cat}\n", [("cat", "01")]),
        ("path: data\nnames:\n  0: person\n  1: bicycle\n", [("person", "0"), ("bicycle", "1")]),
        ("# nothing\n", []),
    ],
)
def test_yaml_of_every_shape_is_text(text, expected):
    assert of_yaml(text) == expected


@given(NAMES)
def test_names_come_back_from_every_format(names):
    assert [name for name, _ in of_json(names)] == names
    assert [name for name, _ in of_yaml(yaml.safe_dump(names, allow_unicode=True))] == names
    lines = "".join(f"{json.dumps(name, ensure_ascii=False)}\n" for name in names)
    assert [entry.name for entry in parse_jsonl_classes(lines.encode(), "x")] == names


@pytest.mark.parametrize(
    ("document", "told"),
    [
        ("cat", "this is no class list but 'cat'"),
        (7, "no class list"),
        (None, "no class list"),
        ([1, 2], "item 0: 1 names no class"),
        ([None], "item 0: None names no class"),
        ([True], "names no class"),
        ([["cat"]], "names no class"),
        ([{"title": "cat"}], "item 0: .* names no class"),
        ([{"name": 7}], "names no class"),
        ([{"name": "cat", "id": 1.5}], "the id 1.5 is no text or whole number"),
        ([{"name": "cat", "id": True}], "the id True"),
        ([list(range(100))], "a list of 100 names no class"),
        ({"a": None}, "the key 'a' leads to None"),
        ({"a": ["x"]}, "the key 'a' leads to"),
        ({"a": {"b": "c"}}, "the key 'a' leads to"),
        ({"a": True, "b": False}, "the key 'a' leads to True"),
        ({"names": ["a"], "classes": ["b"]}, "the key 'names' leads to"),
    ],
)
def test_json_that_is_no_class_list_says_what_would_be_one(document, told):
    with pytest.raises(InputError, match=told) as error:
        of_json(document)
    assert "Write a list of names" in error.value.remedy or "Write it as text" in error.value.remedy
    assert not isinstance(error.value, UnfinishedInputError)


@pytest.mark.parametrize(
    ("parse", "content", "told"),
    [
        (parse_json_classes, b"[" * 100_000, "nested deeper"),
        (parse_json_classes, b'{"a": "x", "a": "y"}', "the key 'a' is there twice"),
        (parse_json_classes, b"['a']", "not JSON"),
        (parse_jsonl_classes, b'"cat"\n[1]\n', "line 2: .* names no class"),
        (parse_jsonl_classes, b'"cat"\ncat\n"dog"\n', "line 2: the line is not JSON"),
        (parse_yaml_classes, b"a: [\n", "not YAML"),
        (parse_yaml_classes, b"cat\n", "no class list but 'cat'"),
        (parse_yaml_classes, b"- [a, b]\n", "names no class"),
        (parse_yaml_classes, "- caf\u00e9\n".encode("cp1252"), "not UTF-8"),
    ],
)
def test_what_cannot_be_read_is_one_error(parse, content, told):
    with pytest.raises(InputError, match=told) as error:
        parse(content, "list")
    assert not isinstance(error.value, UnfinishedInputError)
    assert error.value.place.startswith("list")


@pytest.mark.parametrize(
    ("parse", "content"),
    [
        (parse_json_classes, b'["cat", "do'),
        (parse_json_classes, b""),
        (parse_jsonl_classes, b'"cat"\n{"name": "do'),
        (parse_yaml_classes, b"- cat\n- do"),
    ],
)
def test_half_a_list_is_unfinished(parse, content):
    with pytest.raises(UnfinishedInputError):
        parse(content, "list")


def test_a_byte_order_mark_does_not_count():
    assert pairs(parse_json_classes(b'\xef\xbb\xbf["cat"]', "x")) == [("cat", None)]
    assert pairs(parse_jsonl_classes(b'\xef\xbb\xbf"cat"\r\n"dog"\r\n', "x")) == [("cat", None), ("dog", None)]
    assert pairs(parse_yaml_classes(b"\xef\xbb\xbf- cat\n", "x")) == [("cat", None)]
