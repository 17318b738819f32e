"""What a server's run may read: configs and texts below allowed places, and no URL that nobody allowed."""

import os
from pathlib import Path

import pytest

from coder_core.allowed_places import VARIABLE, allowed_roots, check_place, check_spec_places, is_fetched
from coder_core.errors import ConfigError
from tests.fixtures_inputs import World


@pytest.fixture
def roots(tmp_path: Path) -> tuple[str, ...]:
    (tmp_path / "allowed" / "deep").mkdir(parents=True)
    (tmp_path / "allowed-not").mkdir()
    (tmp_path / "secret.yaml").write_text("secret")
    (tmp_path / "allowed" / "link.yaml").symlink_to(tmp_path / "secret.yaml")
    return str(tmp_path / "allowed"), "s3://bucket/store", "https://good.example:8443/configs"


@pytest.mark.parametrize(
    "location",
    [
        "/etc/shadow",
        "/proc/self/environ",
        "{}/allowed/../secret.yaml",
        "{}/allowed/link.yaml",
        "{}/allowed-not/x.yaml",
        "{}",
        "~/x.yaml",
        "file:///etc/shadow",
        "local:///etc/shadow",
        "s3://bucket/store-not/x",
        "s3://bucket/store/../x",
        "s3://other/store/x",
        "https://good.example/configs/x.yaml",
        "http://good.example:8443/configs/x.yaml",
        "https://good.example:8443/configs/%2e%2e/x.yaml",
        "https://good.example:8443.evil.example/configs/x.yaml",
        "https://good.example:8443@evil.example/configs/x.yaml",
        "http://169.254.169.254/latest/meta-data",
        "simplecache::http://127.0.0.1/x",
        "memory://x",
    ],
)
def test_what_lies_elsewhere_is_refused_unread(location: str, roots: tuple[str, ...], tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"only below allowed places\..*CODER_ALLOWED_ROOTS") as error:
        check_place(location.format(tmp_path), roots, "config")
    assert "evil.example" in str(error.value) or "secret" not in str(error.value).replace("secret.yaml", "")


@pytest.mark.parametrize(
    "location",
    [
        "{}/allowed/x.yaml",
        "{}/allowed/deep/../x.yaml",
        "file://{}/allowed/x.yaml",
        "demo:flags",
        "s3://bucket/store/a/x.yaml",
        "https://good.example:8443/configs/x.yaml",
        "https://me:pass-Word1@good.example:8443/configs/x.yaml",
    ],
)
def test_what_lies_below_is_read(location: str, roots: tuple[str, ...], tmp_path: Path) -> None:
    if "@" in location:  # who may open it is no part of where it is, and has to be allowed as it is written
        roots = (*roots, "https://me:pass-Word1@good.example:8443/configs")
    check_place(location.format(tmp_path), roots, "config")


def test_every_text_and_every_url_of_a_spec_is_looked_at(world: World, tmp_path: Path) -> None:
    roots = (str(world.folder),)
    check_spec_places(world.spec(), roots)
    other = str(tmp_path / "other.yaml")
    for place, changes in (
        ("texts.bank", {"texts": {"bank": other}}),
        ("texts.edits", {"texts": {"bank": str(world.folder / "bank.yaml"), "edits": other}}),
        ("dataset.classes", {"dataset": {**world.settings["dataset"], "classes": {"kind": "file", "path": other}}}),
        ("dataset.path", {"dataset": {"kind": "features", "path": "http://127.0.0.1/x.npz"}}),
        ("encoder.texts.path", {"encoder": {"kind": "precomputed", "texts": [{"path": "ftp://h/x.npz"}]}}),
    ):
        with pytest.raises(ConfigError, match=f"^{place}"):
            check_spec_places(world.spec(**changes), roots)
    elsewhere = {"dataset": {"kind": "features", "path": "s3://bucket/x.npz"}}  # with the worker's own credentials
    check_spec_places(world.spec(**elsewhere), roots)
    assert not is_fetched("s3://bucket/x")


def test_the_variable_names_folders_and_urls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(VARIABLE, raising=False)
    assert allowed_roots("/here", "s3://b/s") == ("/here", "s3://b/s")
    monkeypatch.setenv(VARIABLE, os.pathsep.join(["/a", "https://h:8443/c", "s3://b/x", "/d e"]))
    assert allowed_roots("/here", "s3://b/s") == ("/a", "https://h:8443/c", "s3://b/x", "/d e")
