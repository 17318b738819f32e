"""The files of a tokenizer of transformers: they decide what a text is to a model, so their content is identity."""

import hashlib
from pathlib import Path

SUFFIXES = (".json", ".model", ".txt")
_CONFIGS = frozenset({"open_clip_config.json", "config.json", "preprocessor_config.json", "processor_config.json"})
"""Files of models and of image processors that lie beside."""

_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt", "spiece.model", "sentencepiece.bpe.model")
"""One of them is there where a tokenizer is: one file for all, byte pairs, word pieces, SentencePiece."""


def holds_tokenizer(folder: Path) -> bool:
    """Whether a folder holds the vocabulary of a tokenizer."""
    return any((folder / name).is_file() for name in _VOCABULARIES) or any(folder.glob("*.model"))


def tokenizer_hashes(folder: Path) -> dict[str, str]:
    """sha256 of every file that may belong to the tokenizer of a folder, by name."""
    found = (path for path in sorted(folder.iterdir()) if path.suffix in SUFFIXES and path.is_file())
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in found if _is_tokenizers(path.name)}


def _is_tokenizers(name: str) -> bool:
    return name not in _CONFIGS and not name.endswith(".index.json")
