"""Texts with deterministic unit vectors: a stand-in for an encoder that only has to be a function of the text."""

import hashlib

import numpy as np
import torch

from coder_core.classes import ClassList
from coder_core.texts.bank import ClassTexts, TextBank
from coder_core.texts.domains import load_domains
from coder_core.texts.sentences import build_texts
from coder_core.texts.text_layout import build_layout

DIM = 24


def embed_texts(texts):
    """Every text its own direction, wherever and in whatever company it stands."""
    seeds = [int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") for text in texts]
    vectors = np.stack([np.random.default_rng(seed).standard_normal(DIM) for seed in seeds])
    return torch.from_numpy(vectors / np.linalg.norm(vectors, axis=1, keepdims=True)).float()


def make_case(sizes, names=None):
    """Build classes with given numbers of (synonyms, attributes, analogues): table, layout, text embeddings."""
    names = names or [f"class {position}" for position in range(len(sizes))]
    bank = TextBank(
        tuple(
            ClassTexts(
                synonyms=tuple(f"{name} synonym {i}" for i in range(synonyms)),
                attributes=tuple(f"{name} attribute {i}" for i in range(attributes)),
                analogous_classes=tuple(f"{name} analogue {i}" for i in range(analogues)),
            )
            for name, (synonyms, attributes, analogues) in zip(names, sizes, strict=True)
        )
    )
    table = build_texts(ClassList(tuple(names)), bank, load_domains()["general"])
    return table, build_layout(table), embed_texts(table.unique_texts())


def make_images(count, seed=0):
    vectors = torch.randn(count, DIM, generator=torch.Generator().manual_seed(seed))
    return torch.nn.functional.normalize(vectors, dim=1)
