"""What is read without torch is what open_clip itself answers: every architecture, every published tag."""

import open_clip

from coder_core.encoders.open_clip_tables import list_architectures, published_recipes, read_architecture


def test_architectures_and_their_configurations() -> None:
    assert set(list_architectures()) == set(open_clip.list_models())
    assert all(read_architecture(name) == open_clip.get_model_config(name) for name in list_architectures())


def test_published_tags_and_their_recipes() -> None:
    for name in list_architectures():
        recipes = published_recipes(name)
        assert list(recipes) == open_clip.list_pretrained_tags_by_model(name)
        assert all(recipe == open_clip.get_pretrained_cfg(name, tag) for tag, recipe in recipes.items())
    assert published_recipes("no such model") == {}
