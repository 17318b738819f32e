"""What all sides of the comparison with other tools are given, and why a peer is not there."""

from pathlib import Path

import pytest

from bench import peer_environments
from bench.peer_environments import make_environment
from bench.peers import TEMPLATES, lay_out_photographs, write_shards
from coder_core.images.sources import open_source
from coder_core.specs import TarDataset


def test_shards_hold_the_photographs_under_the_labels_of_their_folders(tmp_path: Path) -> None:
    images = lay_out_photographs(tmp_path / "photos", None, 12)
    names = sorted({image.parent.name for image in images})
    keys = write_shards(tmp_path / "wds", images, names, TEMPLATES["clip_ensemble"])
    path = str(tmp_path / "wds" / "test" / "*.tar")
    (batch,) = open_source(TarDataset(kind="webdataset", path=path, class_names=names)).batches(100)
    assert batch.label_ids is not None
    found = {Path(image).stem: names[label] for image, label in zip(batch.image_ids, batch.label_ids, strict=True)}
    assert found == {image.stem: image.parent.name for image in images}
    assert sorted(keys) == sorted(found)
    assert (tmp_path / "wds" / "classnames.txt").read_text().splitlines() == names
    assert "{c}" in (tmp_path / "wds" / "zeroshot_classification_templates.txt").read_text()


@pytest.mark.slow
def test_a_peer_that_cannot_be_installed_is_named_with_pips_words(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setattr(peer_environments, "PACKAGES", {"nobody": ("no-such-package-of-ours",)})
    found = make_environment(tmp_path, "nobody", None)
    assert found.problem is not None
    assert "No matching distribution found for no-such-package-of-ours" in found.problem
    assert not (tmp_path / "nobody" / "installed.txt").exists()
