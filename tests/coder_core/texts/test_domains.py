"""Sentences are data: shipped ones are complete, a user's own are checked, braces in names are text."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from coder_core.errors import ConfigError
from coder_core.texts.domains import DEFAULT_DOMAIN, fill, find_domain, load_domains

SHIPPED = ["action", "aircraft", "bird", "flag", "flower", "food", "general", "pet", "place", "satellite", "texture"]


def test_every_domain_of_the_method_is_shipped_and_complete():
    domains = load_domains()
    assert list(domains) == SHIPPED
    for name, domain in domains.items():
        assert domain.name == name
        assert "{class}" in domain.class_name
        assert len(domain.one_to_one) >= 2
        assert len(domain.ensemble) >= 2
        assert len(set(domain.ensemble)) == len(domain.ensemble)


def test_the_general_sentences_are_the_papers():
    general = load_domains()[DEFAULT_DOMAIN]
    assert general.class_name == "a photo of {class}"
    assert general.attribute == "{class} which has {attribute}"
    assert general.analogous_class == "a {class} similar to {analogue}."
    assert len(general.ensemble) == 7


def test_a_new_domain_inherits_from_general_and_a_known_one_is_overridden_in_part():
    extra = {"stamp": {"class_name": "a stamp of {class}"}, "flag": {"ensemble": ["{class}, a flag"]}}
    domains, shipped = load_domains(extra), load_domains()
    assert domains["stamp"].class_name == "a stamp of {class}"
    assert domains["stamp"].attribute == shipped["general"].attribute
    assert domains["flag"].ensemble == ("{class}, a flag",)
    assert domains["flag"].class_name == shipped["flag"].class_name
    assert domains["pet"] == shipped["pet"]
    assert load_domains() == shipped


def test_what_general_becomes_new_domains_inherit():
    domains = load_domains({"general": {"class_name": "{class}!"}, "stamp": {}})
    assert domains["general"].class_name == domains["stamp"].class_name == "{class}!"
    assert domains["pet"].class_name != "{class}!"


@pytest.mark.parametrize(
    ("extra", "place", "problem"),
    [
        ({"x": {"class_name": "a photo"}}, "domains.x.class_name", "exactly {class}"),
        ({"x": {"class_name": "{class} {attribute}"}}, "domains.x.class_name", "exactly {class}"),
        (
            {"x": {"one_to_one": ["{class}"]}},
            "domains.x.one_to_one[0]",
            "exactly {phrase}, and may hold {class} and {rival}",
        ),
        ({"x": {"class_name": "{class}" + "x" * 500 + "{"}}, "domains.x.class_name", "must hold exactly {class}"),
        ({"x": {"attribute": "{class}"}}, "domains.x.attribute", "exactly {attribute}, and may hold {class}"),
        ({"x": {"class_name": "{class} {"}}, "domains.x.class_name", "braces"),
        ({"x": {"class_name": "{} of {class}"}}, "domains.x.class_name", "braces"),
        ({"x": {"ensemble": ["{class}", "photo"]}}, "domains.x.ensemble[1]", "exactly {class}"),
        ({"x": {"ensemble": []}}, "domains.x.ensemble", "list of templates"),
        ({"x": {"one_to_one": "{class} {rival} {phrase}"}}, "domains.x.one_to_one", "list of templates"),
        ({"x": {"class_name": 3}}, "domains.x.class_name", "quotes"),
        ({"x": {"clas_name": "{class}"}}, "domains.x.clas_name", "class_name, attribute"),
        ({"x": "a photo of {class}"}, "domains.x", "expected templates by key"),
    ],
)
def test_a_wrong_template_is_refused_with_its_place(extra, place, problem):
    with pytest.raises(ConfigError) as caught:
        load_domains(extra)
    assert caught.value.place == place
    assert problem in str(caught.value)


def test_an_unknown_domain_names_the_nearest():
    domains = load_domains()
    assert find_domain("pet", domains) is domains["pet"]
    with pytest.raises(ConfigError, match="Did you mean 'satellite'"):
        find_domain("satelite", domains)
    with pytest.raises(ConfigError, match="There are: action"):
        find_domain("q", domains)


@given(st.text(), st.text())
def test_values_are_never_read_as_templates(name, attribute):
    assert fill("{class} which has {attribute}", {"class": name, "attribute": attribute}) == (
        name + " which has " + attribute
    )
