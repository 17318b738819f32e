import pytest

from coder_core.atg.names import NameSet, is_echo, is_same_name


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("lemur", "Lemurs"),
        ("lemur", "a LEMUR"),
        ("polka_dotted", "polka-dotted"),
        ("polka dotted", "Polka  Dotted!"),
        ("fox", "foxes"),
        ("pony", "ponies"),
        ("wolf", "the wolves"),
        ("glove", "gloves"),
        ("great white shark", "Great White Sharks"),
        ("sea lion", "sealion"),
        ("Ｌｅｍｕｒ", "lemur"),  # noqa: RUF001
        ("Grevy's zebra", "grevys zebra"),
        ("キツネザル", "キツネザル"),
    ],
)
def test_spellings_of_one_name(name: str, other: str) -> None:
    assert is_same_name(name, other)
    assert is_same_name(other, name)
    assert is_echo(name, other)


@pytest.mark.parametrize(
    ("name", "other"),
    [
        ("Norfolk terrier", "Norwich terrier"),
        ("tiger shark", "shark"),
        ("shark", "tiger shark"),
        ("class 0017", "class 0018"),
        ("CRJ-200", "CRJ-700"),
        ("bass", "bas relief"),
        ("glass", "glas s x"),
        ("lion", ""),
        ("prince", "princess"),
        ("goldfinch", "goldfish"),
    ],
)
def test_names_of_two_things(name: str, other: str) -> None:
    assert not is_same_name(name, other)
    assert not is_echo(name, other)


def test_an_echo_may_drop_the_parentheses_or_spell_a_little_differently() -> None:
    assert is_echo("kite (bird of prey)", "Kite")
    assert is_echo("kite", "kite (a bird)")
    assert is_echo("great grey owl", "Great Gray Owl")
    assert not is_echo("kite (bird of prey)", "crane (bird of prey)")


def test_names_are_found_as_whole_words_and_the_longest_counts() -> None:
    names = NameSet(["shark", "tiger shark", "box", "sea_lion"])
    assert names.found_in("What a Tiger Shark, unlike SHARKS, has:") == [("tiger", "shark"), ("shark",)]
    assert names.found_in("boxing sea-lions") == [("sea", "lion")]
    assert names.found_in("") == []
    assert "Tiger sharks" in names
    assert "tiger" not in names
    assert NameSet([]).found_in("shark") == []
