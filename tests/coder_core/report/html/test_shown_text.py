"""Hostile names, made fit to be shown, and JSON that no parser of HTML takes for markup."""

import json
from html.parser import HTMLParser

import pytest

from coder_core.report.html.page import json_in_html
from coder_core.report.html.scripts import page_script, policy, vega_script
from coder_core.report.html.shown_text import SHOWN_CHARACTERS, WHOLE_CHARACTERS, clean, name_pair, shorten

HOSTILE = (
    "</script><script>document.title='owned'</script>",
    "<img src=x onerror=\"document.title='owned'\">",
    "'\"&amp;<!--",
    "👩\u200d👩\u200d👧 family",
    "عَلَم فلسطين",
    "\u202egnp.exe\u202c",
    "a\x00b\x1b[31m\u2028c",
    "{{ 7 * 7 }} {% raw %}",
)


class _Scripts(HTMLParser):
    """What a parser of HTML takes for scripts, and for anything else."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    def handle_data(self, data: str) -> None:
        self.text += data


@pytest.mark.parametrize("name", HOSTILE)
def test_data_in_a_script_element_stays_data_and_is_the_same_afterwards(name: str) -> None:
    parser = _Scripts()
    parser.feed(f"<script type='application/json'>{json_in_html({name: [name, 1.5, None]})}</script>")
    assert parser.tags == ["script"]
    assert json.loads(parser.text) == {name: [name, 1.5, None]}


def test_what_is_no_number_is_null_and_half_a_character_is_shown() -> None:
    assert json.loads(json_in_html([float("nan"), float("inf"), 0.1, True])) == [None, None, 0.1, True]
    json_in_html("half a \ud800 character").encode("utf-8")
    assert "half a \\ud800" in json_in_html("half a \ud800 character")


@pytest.mark.parametrize("name", HOSTILE)
def test_no_name_turns_the_text_around_it_or_holds_control_characters(name: str) -> None:
    shown = clean(name)
    assert not any(ord(char) < 32 or char in "\u202e\u202c\u2028" for char in shown)
    assert clean(shown) == shown


def test_emoji_and_letters_from_right_to_left_stay_as_they_are() -> None:
    assert [clean(name) for name in HOSTILE[3:5]] == list(HOSTILE[3:5])


def test_long_names_are_cut_where_they_stand_and_longer_in_the_tooltip() -> None:
    short, whole = name_pair("x" * 10_000)
    assert (len(short), len(whole), short[-1], whole[-1]) == (SHOWN_CHARACTERS, WHOLE_CHARACTERS, "…", "…")
    assert name_pair("wren") == ["wren"]
    assert len(shorten("\u202e" * 10_000)) == SHOWN_CHARACTERS, "escapes count, too"


def test_the_policy_lets_the_pages_own_scripts_run_and_nothing_be_loaded() -> None:
    rules = dict(rule.split(" ", 1) for rule in policy("one", "two").split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert rules["img-src"] == "data:"
    assert "'sha256-dpLDrTVAu4A8Ags67mbNiIcSMjTqDG5xQ8Ct1z/0Me0='" in rules["script-src"], "openssl says so of `one`"
    assert "unsafe" not in rules["script-src"]


@pytest.mark.slow
def test_the_scripts_have_no_end_of_a_script_in_them() -> None:
    for script in (vega_script(), page_script()):
        assert "</script" not in script
        assert "<!--" not in script
        assert "\r" not in script
    assert len(vega_script()) < 1_500_000
