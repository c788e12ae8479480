"""Which databases of chats a home folder has, and the statements that delete a chat from either kind."""

from __future__ import annotations

from rag.history.database import Place, Statement
from rag.history.postgres import PostgresServer
from rag.history.sqlite import SQLiteFile
from rag.settings import Settings

DELETE = (
    "INSERT INTO deleted (id) VALUES (:id) ON CONFLICT DO NOTHING",
    'DELETE FROM feedbacks WHERE "forId" IN (SELECT id FROM steps WHERE "threadId" = :id)',
    'DELETE FROM elements WHERE "threadId" = :id',
    'DELETE FROM steps WHERE "threadId" = :id',
    'DELETE FROM folded WHERE "threadId" = :id',
    "DELETE FROM threads WHERE id = :id",
)


def history_of(settings: Settings) -> Place:
    """Return where the chat keeps its history: THUMBTUNE_HISTORY, else chat.db. Raises BadSetting."""
    if settings.history:
        return PostgresServer(settings.history.get_secret_value())
    return SQLiteFile(settings.chat_db)


def places(settings: Settings) -> list[Place]:
    """Return all places with chats: chat.db also where the history has moved to Postgres since. Raises BadSetting."""
    file = [SQLiteFile(settings.chat_db)] if settings.chat_db.is_file() else []
    return [*file, history_of(settings)] if settings.history else [*file]


def deletion(place: Place, thread_id: str) -> list[Statement]:
    """Return the statements that delete a thread, so that no open tab can write it again."""
    return [(statement, {"id": thread_id}) for statement in (*place.before_delete, *DELETE)]
