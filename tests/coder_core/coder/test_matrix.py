"""The explicit CODER is the table of all cosines."""

import torch

from coder_core.coder.matrix import coder_matrix


def test_every_entry_is_one_cosine(case_of, images_of):
    _, layout, text_embeddings = case_of([(1, 2, 0), (0, 1, 1)])
    images = images_of(3)
    coder = coder_matrix(images, text_embeddings)
    assert coder.shape == (3, layout.text_count)
    for i, image in enumerate(images):
        for k, text in enumerate(text_embeddings):
            torch.testing.assert_close(coder[i, k], torch.dot(image, text), atol=1e-6, rtol=0)


def test_half_precision_is_multiplied_in_float32(case_of, images_of):
    _, _, text_embeddings = case_of([(1, 2, 0)])
    coder = coder_matrix(images_of(2).half(), text_embeddings.half())
    assert coder.dtype == torch.float32
    assert torch.equal(coder, coder_matrix(images_of(2).half().float(), text_embeddings.half().float()))
