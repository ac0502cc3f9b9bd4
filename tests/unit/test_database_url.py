"""Database URLs: which ones are understood, and what of them is shown."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from durex_core.errors import DurexError
from durex_core.store.database import masked, open_database


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://durex:s3cr3t@host/db", "postgresql://durex:***@host/db"),
        (
            "postgresql://durex:s3cr3t@host:5432/db?sslmode=require",
            "postgresql://durex:***@host:5432/db?sslmode=require",
        ),
        ("postgres://durex:p%40ss@[::1]:5432/db", "postgres://durex:***@[::1]:5432/db"),
        ("postgresql://:s3cr3t@host/db", "postgresql://:***@host/db"),
        ("postgresql://durex@host/db", "postgresql://durex@host/db"),
        ("postgresql://host:5432/db", "postgresql://host:5432/db"),
        ("postgresql:///db?host=/run/postgresql", "postgresql:///db?host=/run/postgresql"),
        ("postgresql:///db?password=s3cr3t&user=durex", "postgresql:///db?password=***&user=durex"),
        ("postgresql:///db?user=durex&PASSWORD=s3cr3t", "postgresql:///db?user=durex&PASSWORD=***"),
        ("postgresql:///db?passwordless=1", "postgresql:///db?passwordless=1"),
        ("postgresql://durex:s3/cr3t@host/db", "postgresql://durex:***@host/db"),
        ("postgresql://durex:s3#cr3t@host/db", "postgresql://durex:***@host/db"),
        ("postgresql://durex:s3?cr3t@host/db", "postgresql://durex:***@host/db"),
        ("postgresql://durex:s3@cr3t@host/db", "postgresql://durex:***@host/db"),
        ("postgresql://durex:[s3cr3t@host/db", "postgresql://durex:***@host/db"),
        ("postgresql://durex:s3:cr3t@host/db", "postgresql://durex:***@host/db"),
        ("mysql://root:s3cr3t@host/db", "mysql://root:***@host/db"),
        ("sqlite:///durex.db", "sqlite:///durex.db"),
        ("", ""),
    ],
)
def test_a_password_is_masked_and_the_rest_is_shown(url: str, shown: str):
    assert masked(url) == shown


@given(password=st.text(st.characters(exclude_categories=["Cs"]), min_size=1).map(lambda text: f"<{text}>"))
def test_no_password_is_shown_whatever_it_is_made_of(password: str):
    assert password not in masked(f"postgresql://durex:{password}@host/db")


@pytest.mark.parametrize("url", ["", "durex.db", "mysql://root:s3cr3t@host/db", "postgres:durex", "SQLITE:///durex.db"])
def test_another_kind_of_database_is_refused_with_what_to_write(url: str):
    with pytest.raises(
        DurexError, match=r"use sqlite:///FILE, sqlite:///:memory: or postgresql://USER@HOST/NAME"
    ) as caught:
        open_database(url)

    assert "s3cr3t" not in str(caught.value)


@pytest.mark.parametrize(
    ("url", "dialect"),
    [
        ("sqlite:///durex.db", "sqlite"),
        ("sqlite:////var/lib/durex.db", "sqlite"),
        ("sqlite:///:memory:", "sqlite"),
        ("postgresql://durex@127.0.0.1:1/durex", "postgres"),
        ("postgres://durex@127.0.0.1:1/durex", "postgres"),
    ],
)
def test_opening_a_database_picks_its_dialect_and_touches_nothing_yet(url: str, dialect: str):
    database = open_database(url)

    assert database.dialect == dialect
    database.close()
