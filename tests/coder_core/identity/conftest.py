"""A short vocabulary: what it decides is told by the file's content, however many words a test embeds."""

from collections.abc import Iterator

import pytest

from coder_core.texts import vocabulary

WORDS = 100


@pytest.fixture(scope="module", autouse=True)
def few_words() -> Iterator[None]:
    words = vocabulary._words()[:WORDS]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(vocabulary, "_words", lambda: words)
        yield
