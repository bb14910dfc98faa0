"""One HTTP request, with its failures classified as transient or final."""

from __future__ import annotations

import http.client
import re
import ssl
import urllib.error
import urllib.request
from typing import Any

from yolact.errors import UserError

TIMEOUT = 60.0
"""Seconds without a byte after which a connection counts as broken."""
_CHUNK = 1 << 18
_TRY_AGAIN = (408, 425, 429)


class DownloadError(UserError):
    """A file can't be fetched. The message names the address, the reason and what to do."""


class TransientError(Exception):
    """The network failed in a way that may pass."""


class RangeError(Exception):
    """The requested range is beyond the end of the file; `total` is the file's size."""

    def __init__(self, total: int | None) -> None:
        self.total = total


def open_url(url: str, headers: dict[str, str], method: str) -> Any:
    """The answer to a request, its status 200 or 206.

    Raises:
        DownloadError: it is refused for good.
        RangeError: status 416.
        TransientError: no answer, or one that may be another later.
    """
    if not url.startswith(("http://", "https://")):
        raise DownloadError(f"{url!r} is no address that begins with http:// or https://")
    try:
        # without `identity` a server may compress, and then neither lengths nor ranges mean the file's bytes
        request = urllib.request.Request(url, headers={"Accept-Encoding": "identity", **headers}, method=method)
        response = urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 416:
                raise RangeError(_after_slash(error.headers["Content-Range"])) from None
            if error.code in _TRY_AGAIN or error.code >= 500:
                raise TransientError(f"the server answers {error.code} {error.reason}") from None
            raise DownloadError(_refusal(url, error)) from None
    except (OSError, http.client.HTTPException) as error:
        if isinstance(getattr(error, "reason", error), ssl.SSLCertVerificationError):
            raise DownloadError(f"{url}: the server's certificate isn't trusted ({_reason(error)})") from None
        raise TransientError(f"no connection ({_reason(error)})") from None
    except ValueError as error:
        raise DownloadError(f"{url!r} is no address: {error}") from None
    if response.headers.get_content_type() == "text/html":
        response.close()
        raise DownloadError(f"{url}: answered with a web page, not a file; does the network want a login?")
    return response


def _refusal(url: str, error: urllib.error.HTTPError) -> str:
    if error.code in (404, 410):
        return f"{url}: not there ({error.code} {error.reason}); it may have been moved"
    if error.code in (401, 403, 407):
        return f"{url}: access refused ({error.code} {error.reason}); it may have been moved, or a proxy stands between"
    return f"{url}: the server answers {error.code} {error.reason}"


def read(response: Any) -> bytes:
    """The next bytes of the body, none at its end. Raises TransientError where the connection breaks."""
    try:
        return response.read(_CHUNK)
    except (OSError, http.client.HTTPException) as error:
        raise TransientError(f"the connection broke ({_reason(error)})") from None


def total_size(response: Any, have: int) -> int | None:
    """Bytes of the whole file, of which the first `have` are here; None where the answer doesn't say."""
    if response.status != 206:
        return integer(response.headers["Content-Length"])
    sent = re.match(r"bytes (\d+)-", response.headers["Content-Range"] or "")
    if not sent or int(sent[1]) != have:
        raise DownloadError(f"{response.url}: asked for the bytes from {have}, the server sent {sent[0] if sent else 'others'}")
    return _after_slash(response.headers["Content-Range"])


def mark_of(headers: Any) -> str | None:
    """Validator for conditional requests; a weak ETag is not used, because it does not promise equal bytes."""
    tag = headers["ETag"]
    return tag if tag and not tag.startswith("W/") else headers["Last-Modified"]


def integer(text: str | None) -> int | None:
    """Parse a header as a whole number; None if it is not one."""
    return int(text) if text and text.isdecimal() else None


def _after_slash(text: str | None) -> int | None:
    return integer((text or "").rpartition("/")[2])


def _reason(error: Any) -> str:
    """The reason in words; URLError wraps the original error."""
    inner = getattr(error, "reason", error)
    return str(getattr(inner, "strerror", None) or inner) or type(error).__name__
