"""Nothing on this machine is asked through a proxy, and what a user excepts stays excepted."""

import urllib.request

import httpx
import pytest

from service.loopback import VARIABLES, bypass_proxies

PROXY = "http://proxy.example:3128"


def test_without_a_proxy_nothing_changes() -> None:
    environment = {"PATH": "/bin", "NO_PROXY": "example.org"}
    bypass_proxies(environment)
    assert environment == {"PATH": "/bin", "NO_PROXY": "example.org"}


@pytest.mark.parametrize("name", ["HTTP_PROXY", "https_proxy", "ALL_PROXY"])
@pytest.mark.parametrize(
    ("given", "excepted"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"NO_PROXY": "example.org, localhost"}, "example.org,localhost,127.0.0.1,::1"),
        ({"no_proxy": "small", "NO_PROXY": "LARGE"}, "small,127.0.0.1,localhost,::1"),
    ],
)
def test_this_machine_is_excepted_too(name: str, given: dict[str, str], excepted: str) -> None:
    environment = {name: PROXY, **given}
    bypass_proxies(environment)
    assert environment == {name: PROXY, **dict.fromkeys(VARIABLES, excepted)}
    again = dict(environment)
    bypass_proxies(again)
    assert again == environment


def test_who_excepts_everything_is_left_alone() -> None:
    environment = {"HTTP_PROXY": PROXY, "no_proxy": "*"}
    bypass_proxies(environment)
    assert environment == {"HTTP_PROXY": PROXY, "no_proxy": "*"}


@pytest.mark.parametrize("proxy", ["http://127.0.0.1:9", "socks5://127.0.0.1:9"])
@pytest.mark.parametrize("url", ["http://127.0.0.1:4200/api", "http://localhost:4200", "http://[::1]:4200"])
def test_clients_read_it_so(monkeypatch: pytest.MonkeyPatch, proxy: str, url: str) -> None:
    for name in (*VARIABLES, "http_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    environment = {"HTTP_PROXY": proxy, "ALL_PROXY": proxy}
    bypass_proxies(environment)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert urllib.request.proxy_bypass(httpx.URL(url).host)
    with httpx.Client() as client:
        assert client._transport_for_url(httpx.URL(url)) is client._transport, "as without a proxy"
        assert client._transport_for_url(httpx.URL("http://example.org")) is not client._transport
