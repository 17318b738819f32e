"""The encoder family that real evaluations use: any open_clip model. No torch before a model is loaded."""

from typing import TYPE_CHECKING

from coder_core.encoders.base import EncoderIdentity
from coder_core.encoders.open_clip_loading import identify_open_clip
from coder_core.specs import OpenClipEncoder

if TYPE_CHECKING:
    from coder_core.encoders.open_clip_encoder import OpenClip


class OpenClipFamily:
    """Models of open_clip: a folder, a weights file or a published tag."""

    needs_device = True
    embeds_images = True

    def identify(self, spec: OpenClipEncoder) -> EncoderIdentity:
        """See `open_clip_loading`."""
        return identify_open_clip(spec)

    def check(self, spec: OpenClipEncoder) -> str:
        """See `checkpoint_check`."""
        from coder_core.encoders.checkpoint_check import check_open_clip

        return check_open_clip(spec)

    def load(self, spec: OpenClipEncoder, *, device: str) -> "OpenClip":
        """Load the model on a device."""
        from coder_core.encoders.open_clip_encoder import OpenClip

        return OpenClip(spec, device=device)


FAMILY = OpenClipFamily()
