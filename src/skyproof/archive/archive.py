"""The archive: one door to everything that is kept.

    with Archive.open(Path("skyproof-home")) as archive:
        run = archive.runs.newest(as_of=clock.now())

Reads take ``as_of`` and see what was known then. Writes are durable when they return; objects are durable before the
row that names them, so a crash at any instant leaves at most an object nobody names.
"""

from __future__ import annotations

from pathlib import Path

from skyproof.archive.audit import Audit
from skyproof.archive.checkpoints import Checkpoints
from skyproof.archive.corrigenda import Corrigenda
from skyproof.archive.customers import Customers
from skyproof.archive.cycles import Cycles
from skyproof.archive.database import Database
from skyproof.archive.deliveries import Deliveries
from skyproof.archive.events import Events
from skyproof.archive.experts import Experts
from skyproof.archive.inputs import Inputs
from skyproof.archive.ledger import Ledger
from skyproof.archive.names import NameRegister
from skyproof.archive.notices import Notices
from skyproof.archive.objects import LocalObjectStore
from skyproof.archive.observations import Observations
from skyproof.archive.portfolios import Portfolios
from skyproof.archive.receipt_journal import FOLDER, MOST_BYTES, ReceiptJournal
from skyproof.archive.releases import Releases
from skyproof.archive.runs import Runs
from skyproof.archive.schema import upgrade
from skyproof.archive.scores import Scores
from skyproof.archive.sites import Sites
from skyproof.archive.sources import Sources
from skyproof.archive.usage import Usage
from skyproof.archive.webhooks import Webhooks
from skyproof.archive.writes import Writes
from skyproof.domain.errors import StoreUnavailableError
from skyproof.domain.protocols import ObjectStore

DATABASE_FILE = "archive.sqlite"
OBJECTS_FOLDER = "objects"


class Archive:
    """A home's database and objects, and a repository for each kind of record."""

    def __init__(self, home: Path, database: Database, objects: ObjectStore, journal: ReceiptJournal) -> None:
        self.home = home
        self.objects = objects
        self.database = database
        self.engine = database.engine
        self.sites = Sites(database)
        self.customers = Customers(database)
        self.sources = Sources(database)
        self.cycles = Cycles(database, objects)
        self.observations = Observations(database, objects, NameRegister(database))
        self.releases = Releases(database, objects)
        self.runs = Runs(database, objects)
        self.experts = Experts(database, objects)
        self.checkpoints = Checkpoints(database, objects)
        self.inputs = Inputs(self.cycles, self.observations)
        self.scores = Scores(database, objects)
        self.journal = journal
        self.deliveries = Deliveries(database, journal)
        self.ledger = Ledger(database, journal)
        self.events = Events(database)
        self.corrigenda = Corrigenda(database)
        self.notices = Notices(database)
        self.webhooks = Webhooks(database, self.notices)
        self.portfolios = Portfolios(database)
        self.usage = Usage(database)
        self.audit = Audit(database)
        self.writes = Writes(database)

    @classmethod
    def open(
        cls,
        home: Path,
        *,
        database_url: str | None = None,
        objects: ObjectStore | None = None,
        patience_s: float | None = None,
        queue_bytes: int = MOST_BYTES,
    ) -> Archive:
        """Open a home; create it, and upgrade its tables, where needed.

        Args:
            home: the folder of the embedded store.
            database_url: ``postgresql://user@host/name``, or None for SQLite in the home.
            objects: where arrays lie; a folder in the home by default.
            patience_s: for those who answer callers: how long anyone waits for the database, in seconds. Beyond it the database
                is taken as away, and receipts wait on disk.
            queue_bytes: how many bytes of receipts may wait there.

        Raises:
            StoreUnavailableError: home or database cannot be reached, or are of a newer version.
        """
        home = Path(home)
        try:
            home.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreUnavailableError(
                f"the home {home} cannot be made: {error.strerror}", hint="choose a folder you may write to"
            ) from error
        database = Database(database_url or f"sqlite:///{(home / DATABASE_FILE).absolute()}", patience_s=patience_s)
        journal = ReceiptJournal(home / FOLDER, most_bytes=queue_bytes)
        try:
            upgrade(database)
            return cls(home, database, objects or LocalObjectStore(home / OBJECTS_FOLDER), journal)
        except BaseException:
            database.close()
            raise

    @property
    def is_away(self) -> bool:
        """Whether the database was away a moment ago: answers come from what is known, and receipts wait on disk."""
        return self.database.is_away

    def sweep(self) -> int:
        """Remove what interrupted writers left behind (never anything a row names); returns how many files."""
        return self.objects.sweep() if isinstance(self.objects, LocalObjectStore) else 0

    def close(self) -> None:
        """Close readers and connections."""
        self.runs.close()
        self.journal.let_go()
        self.database.close()

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
