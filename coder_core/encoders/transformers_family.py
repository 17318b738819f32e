"""Models of Hugging Face transformers that embed texts and images. No torch before a model is loaded."""

from typing import TYPE_CHECKING

from coder_core.encoders.base import EncoderIdentity
from coder_core.encoders.transformers_loading import find_model, identify_folder
from coder_core.specs import TransformersEncoder

if TYPE_CHECKING:
    from coder_core.encoders.transformers_encoder import TwoTowers


class TransformersFamily:
    """CLIP, SigLIP, SigLIP 2, ALIGN, FLAVA, AltCLIP, Chinese-CLIP, and whatever else has two towers."""

    needs_device = True
    embeds_images = True

    def identify(self, spec: TransformersEncoder) -> EncoderIdentity:
        """See `transformers_loading`."""
        from coder_core.encoders.transformers_model import vector_length

        found = find_model(spec.model, spec.revision)
        return identify_folder(found, spec, dim=vector_length(found))

    def check(self, spec: TransformersEncoder) -> str:
        """See `transformers_check`."""
        from coder_core.encoders.transformers_check import check_transformers

        return check_transformers(spec)

    def load(self, spec: TransformersEncoder, *, device: str) -> "TwoTowers":
        """Load the model on a device."""
        from coder_core.encoders.transformers_encoder import TwoTowers

        return TwoTowers(find_model(spec.model, spec.revision), spec, device=device)


FAMILY = TransformersFamily()
