"""From a database URL to the store: the one place where its parts are put together."""

from toolyard.clock import SYSTEM, Clock
from toolyard.store import migrate
from toolyard.store.authorizations import SqlAuthorizations
from toolyard.store.calls import SqlCalls
from toolyard.store.database import Database
from toolyard.store.dead_letters import SqlDeadLetters
from toolyard.store.feed_place import SqlFeedPlace
from toolyard.store.keys import SqlKeys
from toolyard.store.ledger import SqlLedger
from toolyard.store.open_calls import SqlOpenCalls
from toolyard.store.pauses import SqlPauses
from toolyard.store.retention import SqlRetention
from toolyard.store.schedules import SqlSchedules
from toolyard.store.secrets import SqlSecrets
from toolyard.store.tools import SqlTools
from toolyard.store.webhooks import SqlWebhooks


class Store:
    """All that is kept in one database.

    Attributes:
        calls: calls, read only.
        tools: tool definitions.
        keys: API keys.
        pauses: what is paused, read only.
        authorizations: what users were asked to consent to, read only.
        ledger: the writing side of calls; the scheduler's ledger alone uses it.
        schedules: what is called again and again.
        secrets: secrets of orgs, sealed; `toolyard.store.vault` opens them.
        webhooks: whom orgs want told what happens.
        dead_letters: messages that did not verify or decode.
        retention: drops what is too old.
        feed: how far the log was published to followers at the broker.
        open_calls: calls that wait for something the scheduler shall do, read only.
    """

    def __init__(self, url: str, database: Database, clock: Clock) -> None:
        self.url = url
        self._database = database
        self.calls = SqlCalls(database)
        self.tools = SqlTools(database, clock)
        self.keys = SqlKeys(database)
        self.pauses = SqlPauses(database)
        self.authorizations = SqlAuthorizations(database)
        self.ledger = SqlLedger(database)
        self.schedules = SqlSchedules(database)
        self.secrets = SqlSecrets(database, clock)
        self.webhooks = SqlWebhooks(database)
        self.dead_letters = SqlDeadLetters(database)
        self.retention = SqlRetention(database)
        self.feed = SqlFeedPlace(database)
        self.open_calls = SqlOpenCalls(database)

    def migrate(self) -> None:
        """Bring the tables to the version of this build; several processes may do so at once.

        Raises:
            StoreUnavailable: the database is away.
            StoreError: the database is newer than this build can work with.
        """
        migrate.migrate(self.url)

    def check(self) -> None:
        """Whether this build can work with this database.

        Raises:
            StoreUnavailable: the database is away.
            StoreError: its tables are missing, older, or too new; the message says what to do.
        """
        with self._database.read() as connection:
            migrate.check(connection)

    def close(self) -> None:
        """Close all connections."""
        self._database.close()


def open_store(
    url: str, *, timeout: float = 2.0, durable: bool = False, connections: int = 8, clock: Clock = SYSTEM
) -> Store:
    """The store of a database; nothing is connected before it is used.

    Args:
        url: ``postgresql://…`` or ``sqlite:///…``; the driver is ours.
        timeout: seconds that one statement may take: small where people wait, larger for the ledger's batches.
        durable: SQLite only: a commit survives a power loss too (embedded), not only the death of any process.
        connections: how many threads may use it at a time.
        clock: for the times that the store itself notes.

    Raises:
        SettingsError: not such a URL, or a file that cannot be opened.
    """
    return Store(url, Database(url, timeout=timeout, durable=durable, connections=connections), clock)
