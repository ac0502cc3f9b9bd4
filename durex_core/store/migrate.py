"""Numbered, forward-only migrations, applied under the database's own lock.

Each dialect has `migrations/<dialect>/NNNN_<name>.sql`. What was applied is recorded with a checksum, so that an
edited migration is noticed; a schema newer than this code is accepted, since a deployment migrates before its code.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from importlib.resources import files
from typing import Protocol

from durex_core.errors import MigrationError
from durex_core.records import record
from durex_core.store.statements import Dialect

_FILE_NAME = re.compile(r"(\d{4})_([a-z0-9_]+)\.sql")


@record
class Migration:
    """One step of the schema."""

    version: int
    name: str
    script: str

    @property
    def checksum(self) -> str:
        """A digest of the text."""
        return hashlib.sha256(self.script.encode()).hexdigest()


class Target(Protocol):
    """A database inside the transaction that holds the migration lock."""

    @property
    def dialect(self) -> Dialect:
        """The dialect whose migrations apply."""
        ...

    def prepare(self) -> None:
        """Make the table of applied migrations if there is none."""
        ...

    def applied(self) -> dict[int, str]:
        """Return the checksum of every applied version."""
        ...

    def execute(self, script: str) -> None:
        """Run a migration's text."""
        ...

    def record(self, version: int, name: str, checksum: str) -> None:
        """Remember that a migration was applied."""
        ...


def migrations(dialect: Dialect) -> list[Migration]:
    """Return a dialect's migrations in order."""
    return sorted(_found(dialect), key=lambda migration: migration.version)


def apply(target: Target, wanted: Sequence[Migration]) -> list[str]:
    """Apply what is missing of the wanted migrations, in order, and return its names.

    Raises:
        MigrationError: an applied migration has another text than before.
    """
    target.prepare()
    applied = target.applied()
    done = []
    for migration in wanted:
        if migration.version in applied:
            _check_unchanged(migration, applied[migration.version])
            continue
        target.execute(migration.script)
        target.record(migration.version, migration.name, migration.checksum)
        done.append(f"{migration.version:04}_{migration.name}")
    return done


def _found(dialect: Dialect) -> Iterator[Migration]:
    for file in (files("durex_core") / "migrations" / dialect).iterdir():
        match = _FILE_NAME.fullmatch(file.name)
        if match:
            yield Migration(int(match[1]), match[2], file.read_text())


def _check_unchanged(migration: Migration, checksum: str) -> None:
    if migration.checksum != checksum:
        msg = (
            f"migration {migration.version:04}_{migration.name} was changed after it had been applied; "
            "restore its text and put the change into a new migration"
        )
        raise MigrationError(msg)
