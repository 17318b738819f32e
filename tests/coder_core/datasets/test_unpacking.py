"""Archives that would write elsewhere, or fill the disk, are refused; sums and addresses are torchvision's."""

import io
import stat
import tarfile
import zipfile
from pathlib import Path
from typing import get_args

import pytest

from coder_core.datasets import unpacking
from coder_core.datasets.catalogue import CATALOGUE
from coder_core.datasets.published_files import download_of
from coder_core.datasets.unpacking import unpack
from coder_core.errors import InputError
from coder_core.specs import PublishedName


def tar(path: Path, *members: tarfile.TarInfo, mode: str = "w") -> Path:
    with tarfile.open(path, mode) as archive:  # type: ignore[call-overload]
        for member in members:
            archive.addfile(member, io.BytesIO(b"x" * member.size))
    return path


def member(name: str, *, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 1) -> tarfile.TarInfo:
    found = tarfile.TarInfo(name)
    found.type, found.linkname, found.size = kind, link, size if kind == tarfile.REGTYPE else 0
    return found


HOSTILE = {
    "above": member("a/../../outside"),
    "absolute": member("/outside"),
    "symbolic link": member("a", kind=tarfile.SYMTYPE, link="/etc/passwd"),
    "hard link": member("a", kind=tarfile.LNKTYPE, link="../outside"),
    "device": member("a", kind=tarfile.CHRTYPE),
    "pipe": member("a", kind=tarfile.FIFOTYPE),
    "backslash": member("..\\outside"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_what_leads_out_of_the_folder_is_refused(name: str, tmp_path: Path) -> None:
    folder = tmp_path / "in" / "side"
    folder.mkdir(parents=True)
    archive = tar(tmp_path / "a.tar", member("good"), HOSTILE[name])
    with pytest.raises(InputError, match=r"leads out of the folder|a link or a device"):
        unpack(archive, folder)
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["a.tar", "good", "in", "side"]


def test_zip_files_are_held_to_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    link = zipfile.ZipInfo("link")
    link.external_attr = (stat.S_IFLNK | 0o777) << 16
    for number, info in enumerate((zipfile.ZipInfo("../outside"), zipfile.ZipInfo("/outside"), link)):
        path = tmp_path / f"{number}.zip"
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(info, "/etc/passwd")
        with pytest.raises(InputError, match=r"leads out of the folder|a link or a device"):
            unpack(path, folder)
    assert list(folder.iterdir()) == []


def test_a_small_file_does_not_fill_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(unpacking, "ALWAYS_ALLOWED_BYTES", 10_000)
    bomb = tmp_path / "bomb.zip"
    with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a", bytes(10**7))
    with pytest.raises(InputError, match=r"more than 20 times its size"):
        unpack(bomb, tmp_path)
    tarred = tar(tmp_path / "bomb.tar.gz", member("b", size=10**7), mode="w:gz")
    with pytest.raises(InputError, match=r"more than 20 times its size"):
        unpack(tarred, tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {"bomb.zip", "bomb.tar.gz"}


def test_two_files_of_one_name_and_damage_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="under a name that was there"):
        unpack(tar(tmp_path / "twice.tar", member("a"), member("a")), tmp_path)
    whole = tar(tmp_path / "whole.tar.gz", member("b", size=3000), mode="w:gz")
    for path, content in (("cut.tar.gz", whole.read_bytes()[:-40]), ("none.zip", b"PK\x03\x04 no")):
        (tmp_path / path).write_bytes(content)
        with pytest.raises(InputError, match="this archive is damaged"):
            unpack(tmp_path / path, tmp_path)


def test_a_plain_tar_file_called_otherwise_is_unpacked(tmp_path: Path) -> None:
    """ImageNet-V2 is a tar file under the name of a compressed one."""
    unpack(tar(tmp_path / "v2.tar.gz", member("v2/0/x.jpeg")), tmp_path)
    assert (tmp_path / "v2/0/x.jpeg").is_file()


@pytest.mark.parametrize("name", get_args(PublishedName))
def test_what_is_fetched_has_an_address_and_a_sum_or_says_what_to_do(name: PublishedName) -> None:
    entry, download = CATALOGUE[name], download_of(name)
    assert (download is None) == (entry.gigabytes == 0)
    if download is None:
        assert entry.by_hand
        return
    assert download.folder in {folder.partition("/")[0] for folder in entry.folders}
    for file in download.files:
        assert file.url.startswith(("https://", "http://"))
        algorithm, _, digits = file.digest.partition(":")
        assert len(bytes.fromhex(digits)) == {"md5": 16, "sha256": 32}[algorithm]
    known = sum(file.size for file in download.files) / 1e9
    assert known == pytest.approx(entry.gigabytes, rel=0.06) or name == "resisc45"
