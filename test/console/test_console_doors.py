"""The console for others than this machine: token and TLS, on a real socket."""

from __future__ import annotations

import ssl
import urllib.error
import urllib.parse
import urllib.request
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

pytest.importorskip("rclpy")
pytest.importorskip("aiohttp")
pytest.importorskip("websockets")

from console_rig import Client, Stack  # noqa: E402
from websockets.exceptions import InvalidStatus  # noqa: E402

pytestmark = pytest.mark.slow  # three processes for one test


def status_of(opener: urllib.request.OpenerDirector, url: str, data: bytes | None = None) -> int:
    try:
        return int(opener.open(url, data, timeout=30).status)
    except urllib.error.HTTPError as error:
        return error.code


def test_without_the_token_nothing_and_with_it_until_the_session_ends(
    ros_domain: int, tmp_path: Path
) -> None:
    token_file, tls = tmp_path / "token", tmp_path / "tls"
    stack = Stack(
        tmp_path / "logs", token_file=str(token_file), make_certificate=str(tls),
        session_h=0.0035, host="0.0.0.0",
    )  # fmt: skip
    try:
        assert stack.url.startswith("https://")
        stack.url = stack.url.replace("0.0.0.0", "127.0.0.1")
        context = ssl.create_default_context(cafile=str(tls / "console.crt"))
        jar = urllib.request.HTTPCookieProcessor(CookieJar())
        opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context), jar)
        token = token_file.read_text().strip()
        assert (tls / "console.key").stat().st_mode & 0o777 == 0o600
        assert status_of(opener, stack.url + "main.js") == 401
        assert opener.open(stack.url, timeout=30).url.endswith("/login")
        for headers in (None, {"Authorization": "Bearer wrong"}, {"Cookie": "arfm_console=x"}):
            with pytest.raises(InvalidStatus):
                Client(stack, headers, ssl=context)
        wrong = urllib.parse.urlencode({"token": "wrong"}).encode()
        assert status_of(opener, stack.url + "login", wrong) == 403
        right = urllib.parse.urlencode({"token": token}).encode()
        assert status_of(opener, stack.url + "login", right) == 204
        cookie = next(iter(jar.cookiejar))
        assert cookie.secure and cookie.has_nonstandard_attr("HttpOnly")
        assert status_of(opener, stack.url + "main.js") == 200
        client = Client(stack, {"Cookie": f"{cookie.name}={cookie.value}"}, ssl=context)
        assert client.take()
        stack.until(lambda: client.close_code == 4401, 60.0)  # left open over night
        assert status_of(opener, stack.url + "main.js") == 401
        bearer = Client(stack, {"Authorization": f"Bearer {token}"}, ssl=context)
        assert bearer.take()
        bearer.close()
        log = stack.log()
        assert token not in log and cookie.value not in log and "wrong" not in log
        assert "SHA-256" in log
    finally:
        stack.close()
