"""Writing an exported classifier: tensors first, its card last, so that a folder with a card is whole."""

from pathlib import Path
from typing import TYPE_CHECKING

from coder_core.errors import InputError
from coder_core.fingerprint import content_hash
from coder_core.portable.card import CARD, ONNX, TENSORS, TEXTS, ClassifierCard, encode_card
from coder_core.storage.output_file import write_file

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from coder_core.coder.classifier import ClassifierState


def write_classifier(
    folder: Path,
    card: ClassifierCard,
    state: "ClassifierState",
    *,
    text_vectors: "Float[np.ndarray, 'texts dim'] | None" = None,
    onnx: bytes | None = None,
    is_forced: bool = False,
) -> ClassifierCard:
    """Write a classifier into a folder; gives its card with the hashes of what lies beside it.

    Args:
        folder: Made where it is not there; it holds nothing, or a classifier of the same content.
        card: Without hashes.
        state: The classifier's numbers.
        text_vectors: One row per distinct text of the card.
        onnx: A model to put beside them.
        is_forced: Whether another classifier there is replaced.

    Raises:
        InputError: The folder holds something else, or cannot be written.
    """
    import safetensors.numpy
    import safetensors.torch

    tensors = safetensors.torch.save({name: tensor.contiguous() for name, tensor in state.tensors.items()})
    files = {TENSORS: tensors}
    if text_vectors is not None:
        files[TEXTS] = safetensors.numpy.save({"vectors": text_vectors})
    if onnx is not None:
        files[ONNX] = onnx
    vectors = files.get(TEXTS)
    hashes = {"tensors": content_hash(tensors), "text_vectors": None if vectors is None else content_hash(vectors)}
    sealed = card.model_copy(update=hashes)
    _prepare_folder(folder, is_forced=is_forced)
    for name, content in files.items():
        write_file(folder / name, content, replaces_other=is_forced)
    write_file(folder / CARD, encode_card(sealed), replaces_other=is_forced)
    return sealed


def _prepare_folder(folder: Path, *, is_forced: bool) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        others = {path.name for path in folder.iterdir()} - {CARD, TENSORS, TEXTS, ONNX}
    except OSError as error:
        raise InputError(f"it cannot be made ({error.strerror}).", str(folder), "Choose another folder.") from error
    if others:
        raise InputError(f"it holds other files, {min(others)!r} for one.", str(folder), "Name an empty or new folder.")
    if is_forced:
        for name in (CARD, ONNX, TEXTS):  # without a card it is no classifier until it is whole again
            (folder / name).unlink(missing_ok=True)
