"""Where chats are kept: `chat.db` in the home folder, or a Postgres database that several chats share.

address   what THUMBTUNE_HISTORY names, shown without its password
database  statements run in a thread of their own; those that wait committed together, and tried again after an outage
sqlite    chat.db: its tables, and a connection to it
faults    what keeps chats from being kept in a Postgres database
postgres  a Postgres database: its tables, and a connection to it
copying   chat.db copied into Postgres
places    which of them a home folder has; statements that delete a chat from either
"""

from rag.history.copying import Copied, copy_chats
from rag.history.database import Connection, Database, DatabaseFailed, Place, Result, Statement, transaction, user_id
from rag.history.places import deletion, history_of, places
from rag.history.postgres import PostgresServer
from rag.history.sqlite import SQLiteFile

__all__ = [
    "Connection",
    "Copied",
    "Database",
    "DatabaseFailed",
    "Place",
    "PostgresServer",
    "Result",
    "SQLiteFile",
    "Statement",
    "copy_chats",
    "deletion",
    "history_of",
    "places",
    "transaction",
    "user_id",
]
