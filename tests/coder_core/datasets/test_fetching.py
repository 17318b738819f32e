"""A real server on loopback that breaks off, lies and changes its mind: what counts is the file that was published."""

import hashlib
import io
import os
import signal
import socket
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from coder_core.datasets.fetching import FetchLimits, fetch
from coder_core.datasets.getting import get_dataset, install
from coder_core.datasets.published_files import Download, PublishedFile, download_of
from coder_core.errors import ConfigError, InputError
from coder_core.images.sources import open_source
from coder_core.specs import NamedDataset
from tests.coder_core.datasets.trees import TREES

CONTENT = bytes(range(256)) * 4000
QUICK = FetchLimits(silent_seconds=5.0, pause_seconds=0.01)

pytestmark = pytest.mark.slow


class Server(ThreadingHTTPServer):
    """Serves one content at any path.

    Attributes:
        breaks: How many replies still end after half of what they promise.
        ranges: What `Range` was asked for, in order; None where all was.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.content, self.tag, self.breaks, self.status = CONTENT, '"1"', 0, 0
        self.knows_ranges = True
        self.ranges: list[str | None] = []
        self.is_sent = threading.Event()
        self.is_held: threading.Event | None = None
        """Where there is one, the first reply pauses half-way until it is set."""

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/data.bin"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Server

    def do_GET(self) -> None:
        server, asked = self.server, self.headers.get("Range")
        server.ranges.append(asked)
        if server.status == 302:
            self.send_response(302)
            self.send_header("Location", self.path)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if server.status:
            self.send_error(server.status)
            return
        is_same = self.headers.get("If-Range", server.tag) == server.tag
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and server.knows_ranges and is_same else 0
        if start and start >= len(server.content):
            self.send_response(416)
            self.send_header("Content-Range", f"bytes */{len(server.content)}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        body = server.content[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", server.tag)
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(server.content) - 1}/{len(server.content)}")
        self.end_headers()
        if server.is_held is not None and not server.is_sent.is_set():
            self.wfile.write(body[: len(body) // 2])
            self.wfile.flush()
            server.is_sent.set()
            server.is_held.wait(60)
            self.close_connection = True
        elif server.breaks:
            server.breaks -= 1
            self.wfile.write(body[: len(body) // 2])
            self.close_connection = True
        else:
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Silence."""


@pytest.fixture
def server() -> Iterator[Server]:
    with serving(Server()) as started:
        yield started


@contextmanager
def serving(server: Server) -> Iterator[Server]:
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def published(url: str, content: bytes = CONTENT, **more: Any) -> PublishedFile:
    return PublishedFile(url, f"md5:{hashlib.md5(content).hexdigest()}", len(content), **more)  # noqa: S324


def test_a_connection_that_breaks_off_is_resumed_where_it_was(server: Server, tmp_path: Path) -> None:
    server.breaks = 2
    told: list[int] = []
    found = fetch(published(server.url), tmp_path, limits=QUICK, advance=told.append)
    assert found.read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert server.ranges == [None, f"bytes={half}-", f"bytes={half + half // 2}-"]
    assert sum(told) == len(CONTENT)
    assert list(tmp_path.iterdir()) == [found]
    fetch(published(server.url), tmp_path, limits=QUICK)
    assert len(server.ranges) == 3, "what is there and whole is not asked for again"


def test_what_came_before_a_stop_is_kept_and_gone_on_with(server: Server, tmp_path: Path) -> None:
    server.breaks = 99

    class Stopped(BaseException):
        pass

    told: list[int] = []

    def stop(count: int) -> None:
        told.append(count)
        if sum(told) > len(CONTENT) // 8:
            raise Stopped

    with pytest.raises(Stopped):
        fetch(published(server.url), tmp_path, limits=QUICK, advance=stop)
    come = (tmp_path / "data.bin.part").stat().st_size
    assert 0 < come < len(CONTENT)
    server.breaks = 0
    assert fetch(published(server.url), tmp_path, limits=QUICK).read_bytes() == CONTENT
    assert server.ranges[-1] == f"bytes={come}-"


def test_a_file_that_changed_meanwhile_is_begun_anew(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(b"of an older file")
    (tmp_path / "data.bin.part.tag").write_text('"0"')
    assert fetch(published(server.url), tmp_path, limits=QUICK).read_bytes() == CONTENT
    server.knows_ranges = False
    other = tmp_path / "other"
    other.mkdir()
    (other / "data.bin.part").write_bytes(CONTENT[:100])
    assert fetch(published(server.url), other, limits=QUICK).read_bytes() == CONTENT


def test_all_of_it_was_there_and_only_the_name_was_missing(server: Server, tmp_path: Path) -> None:
    (tmp_path / "data.bin.part").write_bytes(CONTENT)
    assert fetch(published(server.url), tmp_path, limits=QUICK).read_bytes() == CONTENT
    assert server.ranges == [f"bytes={len(CONTENT)}-"]


def test_another_content_is_refused_and_not_kept(server: Server, tmp_path: Path) -> None:
    server.content = CONTENT[:-1] + b"!"
    with pytest.raises(InputError, match=r"is not what was published \(md5:.*it was removed"):
        fetch(published(server.url), tmp_path, limits=QUICK)
    assert list(tmp_path.iterdir()) == []


def test_limits_hold_whatever_the_server_says(server: Server, tmp_path: Path) -> None:
    small = published(server.url)
    server.content = CONTENT * 3
    with pytest.raises(InputError, match=r"it has 3,072,000 bytes or more"):
        fetch(small, tmp_path, limits=QUICK)
    server.content = CONTENT
    with pytest.raises(InputError, match=r"the time is up after 0 s"):
        fetch(published(server.url), tmp_path, limits=QUICK._replace(max_seconds=0.0))


def test_a_server_that_refuses_or_brings_nothing_is_told_in_one_line(server: Server, tmp_path: Path) -> None:
    server.status = 404
    with pytest.raises(InputError, match=r"the server answers HTTP 404"):
        fetch(published(server.url), tmp_path, limits=QUICK)
    server.status = 302
    with pytest.raises(InputError, match=r"the server leads nowhere \(TooManyRedirects\)"):
        fetch(published(server.url), tmp_path, limits=QUICK)
    server.ranges.clear()
    server.status, server.breaks, server.content = 0, 99, b"x"  # half of one byte is none
    with pytest.raises(InputError, match=r"broke off .* after 0 bytes.*the same command goes on"):
        fetch(published(server.url), tmp_path, limits=QUICK)
    assert len(server.ranges) == QUICK.attempts


def test_without_a_network_one_line_says_so(tmp_path: Path) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody answers there
        taken.bind(("127.0.0.1", 0))
        file = published(f"http://127.0.0.1:{taken.getsockname()[1]}/data.bin")
        with pytest.raises(InputError, match=r"there is no way to this server .*Check the network") as caught:
            fetch(file, tmp_path, limits=QUICK)
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(f"put it into {tmp_path}.")
    assert list(tmp_path.iterdir()) == []


def test_two_at_once_do_not_write_into_one_file(server: Server, tmp_path: Path) -> None:
    met: list[InputError] = []

    def meet(_: int) -> None:
        if not met:
            with pytest.raises(InputError, match="another process is fetching this file") as caught:
                fetch(published(server.url), tmp_path, limits=QUICK)
            met.append(caught.value)

    assert fetch(published(server.url), tmp_path, limits=QUICK, advance=meet).read_bytes() == CONTENT
    assert met


def packed_dtd(tmp_path: Path) -> bytes:
    """The archive as it is published: everything in a folder `dtd`."""
    TREES["dtd"](tmp_path / "made")
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        archive.add(tmp_path / "made/dtd/dtd", "dtd")
    return target.getvalue()


def test_a_data_set_appears_whole_or_not_at_all(server: Server, tmp_path: Path) -> None:
    server.content = packed_dtd(tmp_path)
    server.breaks = 1
    file = published(server.url.replace("data.bin", "dtd.tar.gz"), server.content)
    root = tmp_path / "root"
    root.mkdir()
    folder = install(Download((file,), "dtd", "dtd"), root, limits=QUICK)
    assert folder == root / "dtd"
    assert sorted(path.name for path in root.iterdir()) == ["downloads", "dtd"]
    dataset = NamedDataset(kind="named", name="dtd", root=str(root), partial=True)
    assert open_source(dataset).image_count == 2
    with pytest.raises(InputError, match="is there, and is not the whole data set"):
        install(Download((file,), "dtd", "dtd"), root, limits=QUICK)
    with pytest.raises(InputError, match="holds no folder 'images2'"):
        install(Download((file,), "other", "images2"), root, limits=QUICK)
    assert sorted(path.name for path in root.iterdir()) == ["downloads", "dtd"]


def test_archives_in_archives_and_files_beside_them_find_their_place(server: Server, tmp_path: Path) -> None:
    inner, outer = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=inner, mode="w:gz") as archive:
        archive.addfile(tarfile.TarInfo("101_ObjectCategories/a.jpg"))
    with zipfile.ZipFile(outer, "w") as packed:
        packed.writestr("caltech-101/101_ObjectCategories.tar.gz", inner.getvalue())
        packed.writestr("__MACOSX/x", "")
    server.content = outer.getvalue()
    url = server.url.replace("data.bin", "caltech-101.zip")
    known = download_of("caltech101")
    assert known is not None
    file = published(url, server.content, inner=known.files[0].inner)
    folder = install(Download((file,), known.folder, known.top), tmp_path, limits=QUICK)
    assert [path.name for path in folder.rglob("*")] == ["101_ObjectCategories", "a.jpg"]
    server.content = b"a list"
    beside = published(server.url.replace("data.bin", "list.txt"), server.content, into="lists")
    folder = install(Download((beside,), "other"), tmp_path, limits=QUICK)
    assert (folder / "lists/list.txt").read_bytes() == b"a list"


def test_what_is_there_or_cannot_be_fetched_says_so(tmp_path: Path) -> None:
    TREES["dtd"](tmp_path)
    with pytest.raises(InputError, match=r"dtd/dtd: it is there, and not whole \(.*test: .* 2 of 1880 images"):
        get_dataset("dtd", str(tmp_path))
    for name in ("imagenet", "stanford_cars", "ucf101"):
        with pytest.raises(ConfigError, match=r"cannot be fetched\. By hand: "):
            get_dataset(name, str(tmp_path))  # type: ignore[arg-type]
    with pytest.raises(ConfigError, match="fetched to a disk"):
        get_dataset("eurosat", "s3://bucket/data")


COMMAND = """
import sys
from coder_core.datasets import published_files
from coder_core.datasets.published_files import Download, PublishedFile
url, digest, size = sys.argv[1:4]
file = PublishedFile(url, digest, int(size))
published_files._DOWNLOADS["dtd"] = lambda: Download((file,), "dtd", "dtd")
sys.argv = ["coder-eval", "data", "get", "dtd", "--root", sys.argv[4]]
from flows.cli import main
main()
"""


def test_ctrl_c_keeps_what_came_and_the_same_command_goes_on(server: Server, tmp_path: Path) -> None:
    """As it is typed, in a process of its own; only the address is another one."""
    server.content = packed_dtd(tmp_path) + bytes(2**20)  # what stands behind the end of an archive does not count
    file = published(server.url.replace("data.bin", "dtd.tar.gz"), server.content)
    root = tmp_path / "root"
    words = [sys.executable, "-c", COMMAND, file.url, file.digest, str(file.size), str(root)]
    part = root / "downloads/dtd/dtd.tar.gz.part"
    server.is_held = threading.Event()
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True, env={**os.environ, "NO_PROXY": "*"}) as command:
        assert server.is_sent.wait(60)
        while not part.stat().st_size:  # what was sent is on its way
            time.sleep(0.01)
        command.send_signal(signal.SIGINT)
        told = command.communicate(timeout=30)[1]
    server.is_held.set()
    assert command.returncode == 130, told
    assert "Traceback" not in told
    assert sorted(path.name for path in root.iterdir()) == ["downloads"]
    come = part.stat().st_size
    assert 0 < come < len(server.content)
    again = subprocess.run(words, capture_output=True, text=True, check=False, env={**os.environ, "NO_PROXY": "*"})
    assert again.returncode == 0, again.stderr
    assert f"dtd: in {root}/dtd" in again.stderr
    assert server.ranges == [None, f"bytes={come}-"]
    assert not (root / "downloads/dtd").exists()
    assert open_source(NamedDataset(kind="named", name="dtd", root=str(root), partial=True)).image_count == 2
