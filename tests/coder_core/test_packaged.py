"""What ships with the package is read by one function, and a file that is exchanged is read as it is now."""

import hashlib
from pathlib import Path

import pytest

import coder_core
from coder_core import packaged
from coder_core.texts.domains import DOMAINS_FILE, load_domains


def test_a_packaged_file_is_read_and_hashed():
    content = (Path(coder_core.__file__).parent / "texts" / "domains.yaml").read_bytes()
    assert packaged.read_packaged(DOMAINS_FILE) == content
    assert packaged.packaged_hash(DOMAINS_FILE) == hashlib.sha256(content).hexdigest()
    with pytest.raises(FileNotFoundError):
        packaged.read_packaged("texts/no_such_file.yaml")


def test_edited_sentences_have_another_hash_and_are_used_at_once(monkeypatch):
    before, read = packaged.packaged_hash(DOMAINS_FILE), packaged.read_packaged
    assert load_domains()["general"].class_name == "a photo of {class}"
    monkeypatch.setattr(packaged, "read_packaged", lambda name: read(name).replace(b"a photo of", b"a sketch of"))
    assert packaged.packaged_hash(DOMAINS_FILE) != before
    assert load_domains()["general"].class_name == "a sketch of {class}"
    monkeypatch.undo()
    assert load_domains()["general"].class_name == "a photo of {class}"
