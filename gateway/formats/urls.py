"""Addresses of servers: read without repeating their passwords, and shown without them."""

from __future__ import annotations

from urllib.parse import SplitResult, urlsplit


def split_url(what: str, url: str, schemes: tuple[str, ...], form: str) -> SplitResult:
    """Return the parts of a URL.

    Parameters
    ----------
    what
        What it is the URL of, for the error.
    url
        The URL; it may contain a password.
    schemes
        The schemes that are allowed.
    form
        How such a URL looks, for the error.

    Raises
    ------
    ValueError
        When it is not such a URL.  The text has no part of it: what looks like a port may be the
        end of a password, as in ``redis://:pass/word@host``.
    """
    try:
        parts = urlsplit(url)
        valid = parts.scheme in schemes and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError(f"the {what} must look like {form}")
    return parts


def shown_url(url: str) -> str:
    """Return a URL without user, password and options, and any other text as it is.

    Where a password with unusual characters may have broken the URL, only the scheme is shown.
    """
    scheme, separator, _ = url.partition("://")
    if not separator or not scheme.isalnum():
        return url
    try:
        parts = urlsplit(url)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return f"{scheme}://..."
    if parts.netloc and "@" in f"{parts.path}{parts.query}{parts.fragment}":
        return f"{scheme}://..."
    # What follows options may be the end of a password in them.
    area = f"#{parts.fragment}" if parts.fragment and not parts.query else ""
    return f"{scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}{area}"
