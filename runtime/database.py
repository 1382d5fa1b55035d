"""One database behind one door: SQLite by default, the same code on PostgreSQL.

A transaction is short and synchronous; coroutines hand it to a thread with `Database.run`. Writers on SQLite begin with
`BEGIN IMMEDIATE`, so that two of them queue at the door and never meet half-way in a deadlock, and every commit is
synced to the disk before it returns: what was recorded survives `kill -9` and a power cut. Who waits at the door looks
every half a millisecond: SQLite's own way is to sleep 1, 2, 5, 10, 15, 20 … ms, and orders slept 18 ms behind a
transaction of 5.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from decimal import Decimal
from functools import lru_cache
from itertools import chain
from pathlib import Path
from typing import Any, TypeVar, cast

from sqlalchemy import Connection, CursorResult, Dialect, Engine, create_engine, event, text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, IntegrityError, InterfaceError, OperationalError, SQLAlchemyError
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import GenericFunction
from sqlalchemy.types import NUMERIC, String, TypeDecorator, TypeEngine
from sqlmodel import Session

from domain import InputError, InvariantError, OutcomeUnknown, PlatformError, VenueUnavailable

_T = TypeVar("_T")
_RAW_LIMIT = 10**78
_BUSY_TIMEOUT_MS = 10_000
_LOOK_S = 0.000_5
_LOOK_SELDOM_S = 0.005
_PATIENT_AFTER_S = 0.1
_BEFORE_COMMIT = "capstan_before_commit"
_ROWS = ":rows"


class RawAmount(TypeDecorator[int]):
    """An exact signed integer of up to 78 digits: NUMERIC(78,0) on PostgreSQL, decimal text on SQLite.

    SQLite's own numbers end at 64 bits and turn into floats beyond, without a word.
    """

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        kind: TypeEngine[Any] = NUMERIC(78, 0) if dialect.name == "postgresql" else String(79)
        return dialect.type_descriptor(kind)

    def process_bind_param(self, value: int | None, dialect: Dialect) -> Any:
        if value is None:
            return None
        if not isinstance(value, int) or abs(value) >= _RAW_LIMIT:
            raise InvariantError(f"not a raw amount of up to 78 digits: {value!r}")
        return Decimal(value) if dialect.name == "postgresql" else str(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> int | None:
        return None if value is None else int(value)


class raw_sum(GenericFunction[int]):  # noqa: N801 - an SQL function, written as one
    """Sum raw amounts exactly; 0 over no rows. An aggregate of our own on SQLite, `SUM` on PostgreSQL."""

    type = RawAmount()
    name = "raw_sum"
    inherit_cache = True


@compiles(raw_sum, "postgresql")
def _raw_sum_postgresql(element: raw_sum, compiler: Any, **options: Any) -> str:
    return f"COALESCE(SUM({compiler.process(element.clauses, **options)}), 0)"


@compiles(raw_sum, "sqlite")
def _raw_sum_sqlite(element: raw_sum, compiler: Any, **options: Any) -> str:
    # Over no rows at all SQLite answers NULL without asking the aggregate.
    return f"COALESCE(raw_sum({compiler.process(element.clauses, **options)}), '0')"


class _RawSum:
    """SQLite's side of `raw_sum`."""

    def __init__(self) -> None:
        self._total = 0

    def step(self, value: str | None) -> None:
        if value is not None:
            self._total += int(value)

    def finalize(self) -> str:
        return str(self._total)


def before_commit(session: Session, work: Callable[[Session], None]) -> None:
    """Run `work` as the last thing in a `Database.transaction`; an exception of its own undoes all of it.

    For what takes a lock that everybody wants: so late, it is held for the commit only, and no circle of waiting
    transactions can form behind it.
    """
    session.info.setdefault(_BEFORE_COMMIT, []).append(work)


def run_rows(session: Session, statement: str, rows: Sequence[tuple[str | int | None, ...]]) -> CursorResult[Any]:
    """Run one statement over several rows by the driver alone: a third of what it costs through the SQL toolkit.

    For what every request does; `VALUES :rows` stands for all of the rows. Nothing is converted: text and integers of
    up to 64 bits only, and 32,766 of them at the most on SQLite.
    """
    connection = session.connection()
    mark = "%s" if connection.dialect.name == "postgresql" else "?"
    return connection.exec_driver_sql(_with_rows(statement, mark, len(rows), len(rows[0])), tuple(chain(*rows)))


@lru_cache(1_024)
def _with_rows(statement: str, mark: str, count: int, width: int) -> str:
    row = f"({', '.join([mark] * width)})"
    return statement.replace(_ROWS, ", ".join([row] * count))


class Database:
    """An engine, its transactions, its schema and its writer locks.

    Args:
        url: `sqlite:///relative.db`, `sqlite:////absolute.db` or `postgresql+psycopg://…` (`postgresql://` means the
            same).

    Raises:
        InputError: The URL is malformed, or names another kind of database.
    """

    def __init__(self, url: str) -> None:
        try:
            self._url = make_url(url)
        except ArgumentError as exc:
            raise InputError("not a database URL", hint="write sqlite:///file.db or postgresql://host/name") from exc
        backend = self._url.get_backend_name()
        if backend == "postgresql":
            self._url = self._url.set(drivername="postgresql+psycopg")
        elif backend != "sqlite" or not self._url.database or self._url.database == ":memory:":
            raise InputError(
                f"database {backend!r} is not supported here", hint="write sqlite:///file.db or postgresql://host/name"
            )
        self.is_sqlite = backend == "sqlite"
        self._engine = _sqlite_engine(self._url) if self.is_sqlite else _postgresql_engine(self._url)

    @classmethod
    def at(cls, path: Path) -> Database:
        """Open (and create) the SQLite file at `path`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        return cls(f"sqlite:///{path}")

    @property
    def name(self) -> str:
        """The URL without its password, for messages."""
        return self._url.render_as_string(hide_password=True)

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """Read and write in one transaction; it commits on leaving, and an exception undoes all of it.

        Raises:
            VenueUnavailable: The database did not answer; nothing was changed.
            OutcomeUnknown: The connection was lost while committing.
            InvariantError: A constraint or an append-only trigger said no.
        """
        session = Session(self._engine, expire_on_commit=False)
        try:
            with self._translated():
                yield session
                session.flush()
                for work in session.info.pop(_BEFORE_COMMIT, ()):
                    work(session)
                session.flush()
            try:
                session.commit()
            except SQLAlchemyError as exc:
                raise self._lost_commit(exc) from exc
        finally:
            session.close()

    @contextmanager
    def snapshot(self) -> Iterator[Session]:
        """Read one consistent state without holding up writers."""
        connection_options = {"isolation_level": "REPEATABLE READ"} if not self.is_sqlite else {"capstan_read": True}
        with (
            self._translated(),
            self._engine.connect().execution_options(**connection_options) as connection,
            Session(bind=connection, autoflush=False) as session,
        ):
            yield session
            session.rollback()

    async def run(self, work: Callable[[Session], _T]) -> _T:
        """Run `work` in a transaction on a thread. A cancelled caller still waits for the transaction to end."""
        return await self._on_thread(self.transaction, work)

    async def read(self, work: Callable[[Session], _T]) -> _T:
        """Run `work` in a snapshot on a thread."""
        return await self._on_thread(self.snapshot, work)

    def serialize(self, session: Session, topic: str) -> None:
        """Let one transaction at a time pass here per topic, until it ends. SQLite has one writer anyway."""
        if not self.is_sqlite:
            session.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _lock_key(topic)})

    @contextmanager
    def writer_lock(self, topic: str) -> Iterator[None]:
        """Be the only process that holds `topic`; the operating system or the server frees it when we die.

        Raises:
            InputError: Another process holds it.
        """
        taken = InputError(f"another process already writes {topic}", hint="stop it first, or wait until it has ended")
        if self.is_sqlite:
            path = Path(f"{self._url.database}.{hashlib.sha256(topic.encode()).hexdigest()[:12]}.lock")
            with path.open("a") as file:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError as exc:
                    raise taken from exc
                yield
            return
        with self._translated():
            connection = self._engine.connect().execution_options(isolation_level="AUTOCOMMIT")
        try:
            with self._translated():
                if not connection.scalar(text("SELECT pg_try_advisory_lock(:key)"), {"key": _lock_key(topic)}):
                    raise taken
            yield
        finally:
            connection.invalidate()  # closes the server's session, and with it the lock
            connection.close()

    def migrate(self, scripts: Path, revision: str = "head") -> None:
        """Bring the schema to a revision of the alembic scripts in a folder. Idempotent; one process at a time."""
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", str(scripts).replace("%", "%%"))
        try:
            with self._translated(), self._engine.begin() as connection:
                if not self.is_sqlite:
                    connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": _lock_key("migrate")})
                config.attributes["connection"] = connection
                command.upgrade(config, revision)
        except CommandError as exc:
            raise InputError(
                f"{self.name}: {exc}", hint="the database was written by a newer release of capstan"
            ) from exc

    def dispose(self) -> None:
        """Close the pooled connections."""
        self._engine.dispose()

    async def _on_thread(self, door: Callable[[], Any], work: Callable[[Session], _T]) -> _T:
        def call() -> _T:
            with door() as session:
                return work(session)

        future = asyncio.ensure_future(asyncio.to_thread(call))
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            # The thread cannot be stopped; leaving now would let the caller clean up under a running transaction.
            await asyncio.wait([future])
            raise

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except IntegrityError as exc:
            raise InvariantError(f"{self.name}: refused by a constraint: {exc.orig}") from exc
        except (OperationalError, InterfaceError) as exc:
            raise VenueUnavailable(
                f"{self.name}: {exc.orig}", hint="is the database running, and is its folder writable?"
            ) from exc
        except SQLAlchemyError as exc:
            raise InvariantError(f"{self.name}: {getattr(exc, 'orig', None) or exc}") from exc

    def _lost_commit(self, exc: SQLAlchemyError) -> PlatformError:
        if self.is_sqlite:  # SQLite reports a failed commit as rolled back.
            return VenueUnavailable(f"{self.name}: not committed: {getattr(exc, 'orig', exc)}")
        return OutcomeUnknown(f"{self.name}: connection lost while committing", request_id="")


def _lock_key(topic: str) -> int:
    return int.from_bytes(hashlib.sha256(topic.encode()).digest()[:8], "big", signed=True)


def _sqlite_engine(url: URL) -> Engine:
    engine = create_engine(url, connect_args={"check_same_thread": False, "timeout": _BUSY_TIMEOUT_MS / 1000})

    @event.listens_for(engine, "connect")
    def _prepare(connection: sqlite3.Connection, _record: Any) -> None:
        connection.isolation_level = None  # SQLAlchemy's "begin" event below decides, not the driver's guesses.
        for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", f"busy_timeout={_BUSY_TIMEOUT_MS}"):
            connection.execute(f"PRAGMA {pragma}")
        connection.create_aggregate("raw_sum", 1, _RawSum)  # type: ignore[arg-type]

    @event.listens_for(engine, "begin")
    def _begin(connection: Connection) -> None:
        if connection.get_execution_options().get("capstan_read", False):
            connection.exec_driver_sql("BEGIN")
        else:
            _begin_writing(connection)

    return engine


def _begin_writing(connection: Connection) -> None:
    """Wait until nobody else writes, as long as `_BUSY_TIMEOUT_MS`."""
    driver = cast(sqlite3.Connection, connection.connection.driver_connection)
    began = time.monotonic()
    driver.execute("PRAGMA busy_timeout=0")
    try:
        while (waited := time.monotonic() - began) < _BUSY_TIMEOUT_MS / 1000:
            try:
                driver.execute("BEGIN IMMEDIATE")
            except sqlite3.OperationalError as exc:
                if exc.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY:
                    break
                time.sleep(_LOOK_S if waited < _PATIENT_AFTER_S else _LOOK_SELDOM_S)
            else:
                return
        connection.exec_driver_sql("BEGIN IMMEDIATE")  # Says why not, in SQLAlchemy's words.
    finally:
        driver.execute(f"PRAGMA busy_timeout={_BUSY_TIMEOUT_MS}")


def _postgresql_engine(url: URL) -> Engine:
    return create_engine(url, pool_pre_ping=True, connect_args={"connect_timeout": 10})
