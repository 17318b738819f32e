"""ImageNet-1k's classes by their WordNet ids, as installed packages name them: nobody's table is copied.

open_clip ships the names that CLIP was evaluated with, in label order; timm ships the ids in the same order. Both are
read as files, without torch.
"""

from collections.abc import Mapping
from functools import cache
from importlib.util import find_spec
from pathlib import Path

from coder_core.encoders.open_clip_tables import imagenet_class_names

SYNSETS = Path("data", "_info", "imagenet_synsets.txt")
"""In timm's folder: one WordNet id per line, in label order."""


@cache
def names_by_wordnet_id() -> Mapping[str, str]:
    """WordNet id (`n01440764`) -> name (`tench`), of ImageNet-1k's 1,000 classes.

    Raises:
        ImportError: open_clip or timm is not installed, or they contradict each other.
    """
    found = find_spec("timm")
    if found is None or not found.submodule_search_locations:
        raise ImportError("timm is not installed", name="timm")
    ids = (Path(found.submodule_search_locations[0]) / SYNSETS).read_text("ascii").split()
    names = imagenet_class_names()
    if len(ids) != len(names):
        raise ImportError(f"timm knows {len(ids)} ImageNet ids, open_clip {len(names)} names", name="timm")
    return dict(zip(ids, names, strict=True))
