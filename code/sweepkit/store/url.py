"""The URL of a record: read, checked, and shown without its passwords."""

import importlib.util

import sqlalchemy as sa
from sqlalchemy import exc

from sweepkit.errors import StoreError

FORMS = "a file path, sqlite:///PATH or postgresql://USER@HOST/DATABASE"


def postgresql_url(url: sa.URL) -> sa.URL:
    """Return a PostgreSQL URL that names the driver psycopg 3.

    Raises:
        StoreError: The URL names another driver, or psycopg is not installed.
    """
    driver = url.drivername.partition("+")[2]
    if driver not in ("", "psycopg"):
        raise StoreError(
            f"--storage {shown_url(url)}: the driver must be psycopg (version 3), got {driver!r}; "
            "write postgresql:// without a driver"
        )
    if importlib.util.find_spec("psycopg") is None:
        raise StoreError(
            f"--storage {shown_url(url)}: PostgreSQL needs the package psycopg, got none; "
            'install it: pip install "sweepkit[cluster]"'
        )
    return url.set(drivername="postgresql+psycopg")


def parse_url(text: str, option: str = "--storage") -> sa.URL:
    """Return a URL as a value; `option` is how a message names it.

    Raises:
        StoreError: It cannot be read. The text is not shown.
    """
    # The text is never shown: it may hold a password, in a place that nobody can tell.
    scheme = text.split(":", 1)[0]
    try:
        url = sa.make_url(text)
    except (exc.ArgumentError, ValueError):
        raise StoreError(
            f"{option} {scheme}:…: must be {FORMS}, got a URL that cannot be read; "
            "write special characters of a password as %XX (@ is %40, / is %2F, : is %3A)"
        ) from None
    if "@" in "".join((url.host or "", url.database if url.host and url.database else "", *url.query)):
        raise StoreError(
            f"{option} {scheme}://***: must have one @, before the host, got another one; "
            "write an @ of the user's name or password as %40 (/ as %2F, : as %3A), or keep the password in ~/.pgpass"
        )
    return url


def url_secrets(url: sa.URL) -> tuple[str, ...]:
    """Return the passwords in a URL, which no message may show."""
    hidden = [url.password, *(value for key, value in url.query.items() if "password" in key.lower())]
    return tuple(str(text) for text in hidden if text)


def shown_url(url: sa.URL) -> str:
    """Return a URL as text for people, its passwords as ***."""
    hidden = {key: "***" for key in url.query if "password" in key.lower()}
    return url.update_query_dict(hidden).render_as_string(hide_password=True)
