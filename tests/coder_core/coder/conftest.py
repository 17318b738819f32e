"""The texts and images of `text_cases` as fixtures."""

import pytest

from .text_cases import embed_texts, make_case, make_images


@pytest.fixture(scope="session")
def case_of():
    return make_case


@pytest.fixture(scope="session")
def images_of():
    return make_images


@pytest.fixture(scope="session")
def embed():
    return embed_texts
