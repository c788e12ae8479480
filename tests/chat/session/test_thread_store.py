"""Threads, cards and their owners survive the process, and nobody reads another's: in SQLite and in Postgres."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from uuid import uuid4

import pytest
from chainlit.element import ElementDict
from chainlit.types import Pagination, ThreadFilter
from chainlit.user import User

from chat.session.forgotten import follow_forgotten
from chat.session.thread_store import LEAVE, NAME_LENGTH, ThreadStore, shorten
from postgres import Postgres, running_postgres
from rag.errors import StoredLater, StoreFailed
from rag.history import Place, PostgresServer, SQLiteFile, transaction
from rag.upkeep.forgotten import note_forgotten


@pytest.fixture(params=["sqlite", "postgres"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    if request.param == "sqlite":
        return SQLiteFile(tmp_path / "home" / "chat.db")
    server: Postgres = request.getfixturevalue("postgres")
    return PostgresServer(server.new_database())


@pytest.fixture
async def history(place: Place) -> AsyncIterator[ThreadStore]:
    history = ThreadStore(place)
    yield history
    await history.close()


async def new_user(history: ThreadStore, name: str) -> str:
    user = await history.create_user(User(identifier=name))
    assert user
    return user.id


async def new_thread(history: ThreadStore, user_id: str, question: str, minute: int = 0) -> str:
    thread_id = str(uuid4())
    await history.update_thread(thread_id, name=question, user_id=user_id)
    await history.execute_sql(
        'INSERT INTO steps (id, name, type, "threadId", streaming, output, "createdAt")'
        " VALUES (:id, 'You', 'user_message', :thread, FALSE, :output, :at)",
        {"id": str(uuid4()), "thread": thread_id, "output": question, "at": f"2026-01-01T00:{minute:02}:00Z"},
    )
    return thread_id


def card(thread_id: str, text: str, element_id: str = "e1") -> ElementDict:
    return {
        "id": element_id,
        "threadId": thread_id,
        "type": "custom",
        "name": "Compare",
        "display": "inline",
        "forId": "m1",
        "mime": "application/json",
        "props": {"text": text, "sides": ["A", "B"]},
    }


async def test_a_thread_comes_back_with_its_card_as_it_was_last(history: ThreadStore) -> None:
    thread_id = await new_thread(history, await new_user(history, "ann"), "Why?")
    await history.save_element(card(thread_id, "half"))
    await history.save_element(card(thread_id, "whole"))
    thread = await history.get_thread(thread_id)
    assert thread
    assert thread["userIdentifier"] == "ann"
    assert [step["output"] for step in thread["steps"]] == ["Why?"]
    (element,) = thread["elements"] or []
    assert (element["props"], element["forId"], element["name"]) == (
        {"text": "whole", "sides": ["A", "B"]},
        "m1",
        "Compare",
    )


async def test_what_was_written_is_there_for_the_next_process(place: Place) -> None:
    first = ThreadStore(place)
    thread_id = await new_thread(first, await new_user(first, "ann"), "Why?")
    await first.save_element(card(thread_id, "kept"))
    await first.close()
    second = ThreadStore(place)
    thread = await second.get_thread(thread_id)
    assert thread
    assert [element["props"] for element in thread["elements"] or []] == [{"text": "kept", "sides": ["A", "B"]}]
    await second.close()


async def test_a_rater_sees_only_own_threads_newest_first(history: ThreadStore) -> None:
    ann, bob = await new_user(history, "ann"), await new_user(history, "bob")
    old = await new_thread(history, ann, "Old?", minute=1)
    await new_thread(history, bob, "Not mine?", minute=2)
    new = await new_thread(history, ann, "New?", minute=3)
    page = await history.list_threads(Pagination(first=10), ThreadFilter(userId=ann))
    assert [(thread["id"], thread["name"]) for thread in page.data] == [(new, "New?"), (old, "Old?")]
    assert all(thread["steps"] == thread["elements"] == [] for thread in page.data)


async def test_threads_come_in_pages(history: ThreadStore) -> None:
    ann = await new_user(history, "ann")
    ids = [await new_thread(history, ann, f"Number {n}?", minute=n) for n in range(5)]
    got, cursor = [], None
    for expected_more in (True, True, False):
        page = await history.list_threads(Pagination(first=2, cursor=cursor), ThreadFilter(userId=ann))
        got += [thread["id"] for thread in page.data]
        assert page.pageInfo.hasNextPage is expected_more
        cursor = page.pageInfo.endCursor
    assert got == ids[::-1]


async def found(history: ThreadStore, user_id: str, search: str) -> list[str]:
    page = await history.list_threads(Pagination(first=10), ThreadFilter(userId=user_id, search=search))
    return [thread["id"] for thread in page.data]


async def new_answer(history: ThreadStore, thread_id: str, text: str, passage: str = "") -> None:
    element = card(thread_id, "", f"card-{thread_id}")
    element["props"] = {"sides": [{"side": "A", "text": text, "sources": [{"text": passage}]}]}
    await history.save_element(element)


async def test_a_page_goes_on_where_the_last_one_ended_though_its_last_thread_was_deleted(history: ThreadStore) -> None:
    ann = await new_user(history, "ann")
    ids = [await new_thread(history, ann, f"Number {n}?", minute=n) for n in range(4)]
    first = await history.list_threads(Pagination(first=2), ThreadFilter(userId=ann))
    await history.delete_thread(ids[2])
    second = await history.list_threads(Pagination(first=2, cursor=first.pageInfo.endCursor), ThreadFilter(userId=ann))
    assert [thread["id"] for thread in first.data + second.data] == ids[::-1]
    assert second.pageInfo.hasNextPage is False


async def test_threads_are_found_by_what_was_asked_what_was_answered_and_their_name(history: ThreadStore) -> None:
    ann = await new_user(history, "ann")
    bees, slugs = await new_thread(history, ann, "When do BEES swarm?"), await new_thread(history, ann, "Slugs?")
    await new_answer(history, slugs, "Nematodes keep **beds** clear [1](#passage-1).", passage="a beer trap")
    await history.update_thread(slugs, name="My garden")
    assert await found(history, ann, "bees") == [bees]
    assert await found(history, ann, "nematodes clear [1]") == [slugs]
    assert await found(history, ann, "garden") == [slugs]
    assert await found(history, ann, "trap") == []  # a passage is in the documents, and found there
    assert await found(history, ann, "passage-1") == []
    assert set(await found(history, ann, " ")) == {slugs, bees}


async def test_every_word_of_a_search_must_be_in_the_thread_and_may_be_anywhere_in_it(history: ThreadStore) -> None:
    ann = await new_user(history, "ann")
    bees = await new_thread(history, ann, "When do bees swarm?")
    await new_answer(history, bees, "In late spring.")
    assert await found(history, ann, "spring bees") == [bees]
    assert await found(history, ann, "spring slugs") == []


@pytest.mark.parametrize(
    ("written", "search"),
    [
        ("Wie überwintert die Königin?", "KÖNIGIN"),
        ("Große STRASSE", "straße"),
        ("Когда роятся Пчёлы?", "пчЁлы"),
        ("ΟΔΥΣΣΕΥΣ", "οδυσσεύς".replace("ύ", "υ")),
        ("the ﬁrst frost", "FIRST"),
        ("K\u006f\u0308nigin", "königin"),
        (r"key\:value and \[7\]", "key:value [7]"),
    ],
)
async def test_case_and_form_of_a_character_do_not_matter_in_any_script(
    history: ThreadStore, written: str, search: str
) -> None:
    ann = await new_user(history, "ann")
    thread_id = await new_thread(history, ann, "?")
    await new_answer(history, thread_id, written)
    assert await found(history, ann, search) == [thread_id]


@pytest.mark.parametrize("search", ["%", "_", "b%s", "b_es", "*", "' OR 1=1 --", "\\", '"'])
async def test_what_means_something_in_sql_is_a_character_like_any_other(history: ThreadStore, search: str) -> None:
    ann = await new_user(history, "ann")
    await new_thread(history, ann, "bees")
    exact = await new_thread(history, ann, f"x{search}x")
    assert await found(history, ann, search) == [exact]


async def test_a_search_sees_an_answer_as_it_was_last_and_nobody_elses(history: ThreadStore) -> None:
    ann, bob = await new_user(history, "ann"), await new_user(history, "bob")
    thread_id = await new_thread(history, ann, "Why?")
    await new_answer(history, thread_id, "half")
    assert await found(history, ann, "half") == [thread_id]
    await new_answer(history, thread_id, "whole")
    assert await found(history, ann, "half") == []
    assert await found(history, ann, "whole") == [thread_id]
    assert await found(history, bob, "whole") == []


async def test_a_history_from_before_searches_is_searched_whole(tmp_path: Path) -> None:
    history = ThreadStore(SQLiteFile(tmp_path / "chat.db"))
    ann = await new_user(history, "ann")
    thread_id = await new_thread(history, ann, "Bees?")
    await history.execute_sql("DROP TABLE folded", {})
    await history.close()
    history = ThreadStore(SQLiteFile(tmp_path / "chat.db"))
    assert await found(history, ann, "bees") == [thread_id]
    await history.close()


async def test_a_deleted_thread_takes_its_text_along_and_leaves_the_others(history: ThreadStore) -> None:
    ann = await new_user(history, "ann")
    gone, kept = await new_thread(history, ann, "Why did I ask?"), await new_thread(history, ann, "Kept?")
    await new_answer(history, gone, "a confidential answer")
    assert await found(history, ann, "confidential") == [gone]
    await history.delete_thread(gone)
    assert await history.get_thread(gone) is None
    assert await history.get_thread_author(gone) == ""
    assert await found(history, ann, "") == [kept]
    for table in ("elements", "steps", "folded"):
        assert not await history.execute_sql(f'SELECT * FROM {table} WHERE "threadId" = :id', {"id": gone})
    if isinstance(history.place, SQLiteFile):
        files = b"".join(file.read_bytes() for file in history.place.path.parent.glob("chat.db*"))
        assert b"Kept?" in files
        assert b"confidential" not in files


async def test_a_deleted_thread_is_not_brought_back_by_a_tab_that_still_shows_it(history: ThreadStore) -> None:
    ann = await new_user(history, "ann")
    thread_id = await new_thread(history, ann, "Why?")
    await history.save_element(card(thread_id, "x"))
    await history.delete_thread(thread_id)
    with pytest.raises(StoreFailed, match="chat was deleted; your ratings are kept"):
        await history.save_element(card(thread_id, "voted"))
    await new_thread_again(history, thread_id, ann)
    for table in ("elements", "steps", "threads"):
        assert await history.execute_sql(f"SELECT * FROM {table}", {}) == []


@pytest.mark.parametrize("in_chat", [True, False])
async def test_a_tab_that_shows_a_deleted_thread_leaves_it_and_asks_in_a_new_one(
    history: ThreadStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, in_chat: bool
) -> None:
    sent: list[tuple[str, object]] = []

    async def tell(event: str, data: object) -> None:
        sent.append((event, data))

    thread_id, kept = await new_thread(history, await new_user(history, "ann"), "Why?"), str(uuid4())
    shows, does_not = (
        SimpleNamespace(id=f"of {id_}", thread_id=id_, thread_id_to_resume=id_, has_first_interaction=True, emit=tell)
        for id_ in (thread_id, kept)
    )
    monkeypatch.setattr("chat.session.thread_store.ws_sessions_id", {"s1": shows, "s2": does_not})
    kept_of = {each.id: {"state": "its cards"} for each in (shows, does_not)}
    monkeypatch.setattr("chat.session.thread_store.user_sessions", kept_of)
    if in_chat:
        await history.delete_thread(thread_id)
    else:  # by `python -m rag forget`
        follows = asyncio.create_task(follow_forgotten(history, tmp_path, seconds=0.01))
        await asyncio.sleep(0.05)
        with closing(history.place.connect()) as other, transaction(other):
            other.execute("INSERT INTO deleted (id) VALUES (:id)", {"id": thread_id})
        note_forgotten(tmp_path)
        while not sent:
            await asyncio.sleep(0.01)
        follows.cancel()
    assert kept_of == {shows.id: {}, does_not.id: {"state": "its cards"}}
    assert sent == [("window_message", LEAVE)]
    assert (shows.thread_id == thread_id, shows.has_first_interaction, shows.thread_id_to_resume) == (
        False,
        False,
        None,
    )
    assert (does_not.thread_id, does_not.has_first_interaction) == (kept, True)


async def new_thread_again(history: ThreadStore, thread_id: str, user_id: str) -> None:
    """Write what Chainlit writes of a session that ends, and of a question in it."""
    await history.update_thread(thread_id, metadata={"id": "session"})
    await history.update_thread(thread_id, name="Why again?", user_id=user_id)
    await history.execute_sql(
        'INSERT INTO steps (id, name, type, "threadId", streaming) VALUES (:id, :name, :id, :thread, FALSE)'
        " ON CONFLICT (id) DO UPDATE SET name = :name",
        {"id": "s9", "name": "You", "thread": thread_id},
    )


@pytest.mark.parametrize("thread_id", ["", "x') UNION SELECT * FROM users --", "../../etc", "0" * 31])
async def test_a_thread_id_that_is_no_uuid_is_neither_written_nor_looked_up(
    history: ThreadStore, thread_id: str
) -> None:
    with pytest.raises(ValueError, match="not a UUID"):
        await history.update_thread(thread_id, name="Why?")
    assert await history.get_thread(thread_id) is None
    assert await history.execute_sql("SELECT * FROM threads", {}) == []


async def test_a_thread_is_named_after_its_question_in_one_short_line(history: ThreadStore) -> None:
    ann = await new_user(history, "ann")
    await new_thread(history, ann, "Why\n  " + "on earth " * 20_000)
    page = await history.list_threads(Pagination(first=1), ThreadFilter(userId=ann))
    name = page.data[0]["name"]
    assert name.startswith("Why on earth on earth")
    assert len(name) <= NAME_LENGTH
    assert shorten("Why?") == "Why?"


async def test_times_are_utc(history: ThreadStore) -> None:
    await new_user(history, "ann")
    (row,) = await history.execute_sql('SELECT "createdAt" FROM users', {})  # type: ignore[misc]
    written = datetime.fromisoformat(row["createdAt"].removesuffix("Z")).replace(tzinfo=UTC)
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=5)


async def test_what_many_write_at_once_is_all_written(history: ThreadStore) -> None:
    users = [await new_user(history, f"rater-{n}") for n in range(5)]
    threads = await asyncio.gather(*(new_thread(history, user, "Why?") for user in users for _ in range(20)))
    await asyncio.gather(*(history.save_element(card(thread, "done", f"e-{thread}")) for thread in threads))
    found = await history.execute_sql("SELECT count(*) AS n FROM steps", {})
    assert found == [{"n": len(threads)}]


async def test_a_card_that_cannot_be_stored_is_told_in_one_line(history: ThreadStore) -> None:
    await history.execute_sql("DROP TABLE elements", {})
    with pytest.raises(StoreFailed, match="cannot be written") as failed:
        await history.save_element(card(str(uuid4()), "x"))
    assert "\n" not in str(failed.value)
    assert ("rag doctor" if history.is_shared else "THUMBTUNE_HOME") in str(failed.value)
    assert history.is_shared != ("THUMBTUNE_HOME" in str(failed.value))


def test_a_history_that_is_no_database_is_told_with_its_path_and_the_next_step(tmp_path: Path) -> None:
    (tmp_path / "chat.db").write_text("not a database, and long enough that SQLite reads its header as text" * 20)
    with pytest.raises(StoreFailed, match=r"chat\.db.*move the file away"):
        SQLiteFile(tmp_path / "chat.db").make_tables()


def test_a_home_that_is_a_file_is_told(tmp_path: Path) -> None:
    (tmp_path / "home").write_text("")
    with pytest.raises(StoreFailed, match="THUMBTUNE_HOME"):
        SQLiteFile(tmp_path / "home" / "chat.db").make_tables()


async def test_a_step_thread_or_element_of_anothers_id_stays_where_it_is(history: ThreadStore) -> None:
    ann, bob = await new_user(history, "ann"), await new_user(history, "bob")
    hers, his = await new_thread(history, ann, "Hers?"), await new_thread(history, bob, "His?")
    (step,) = (await history.get_thread(hers) or {})["steps"]  # type: ignore[typeddict-item]
    create_step = ThreadStore.create_step.__wrapped__  # without Chainlit's queue, which needs a session
    await create_step(history, {**step, "threadId": his, "output": "stolen"})
    await history.save_element(card(hers, "hers"))
    with pytest.raises(StoreFailed):
        await history.save_element(card(his, "stolen"))
    await history.update_thread(hers, name="stolen", user_id=bob)
    thread = await history.get_thread(hers)
    assert thread
    assert (thread["userIdentifier"], thread["name"]) == ("ann", "Hers?")
    assert [each["output"] for each in thread["steps"]] == ["Hers?"]
    assert [each["props"]["text"] for each in thread["elements"] or []] == ["hers"]
    await create_step(history, {**step, "output": "edited in its own thread"})
    thread = await history.get_thread(hers)
    assert thread
    assert [each["output"] for each in thread["steps"]] == ["edited in its own thread"]


async def test_what_one_chat_writes_while_another_deletes_its_thread_never_stays(postgres: Postgres) -> None:
    place = PostgresServer(postgres.new_database())
    one, other = ThreadStore(place), ThreadStore(place)
    ann = await new_user(one, "ann")
    threads = [await new_thread(one, ann, "Why?") for _ in range(30)]

    async def write(thread_id: str) -> None:
        for n in range(5):
            with suppress(StoreFailed):
                await one.save_element(card(thread_id, f"text {n}", f"e-{thread_id}"))

    await asyncio.gather(*(write(each) for each in threads), *(other.delete_thread(each) for each in threads))
    for table in ("threads", "steps", "elements"):
        assert await one.execute_sql(f"SELECT * FROM {table}", {}) == []
    await one.close()
    await other.close()


async def test_a_text_that_one_chat_changes_while_another_searches_is_found_as_it_is(postgres: Postgres) -> None:
    place = PostgresServer(postgres.new_database())
    one, other = ThreadStore(place), ThreadStore(place)
    ann = await new_user(one, "ann")
    threads = [await new_thread(one, ann, "Why?") for _ in range(10)]

    async def change(thread_id: str) -> None:
        for n in range(8):
            await new_answer(one, thread_id, f"state-{n}.")

    searches = (found(other, ann, "state") for _ in range(20))
    await asyncio.gather(*map(change, threads), *searches)
    assert set(await found(other, ann, "state-7.")) == set(threads)
    assert await found(other, ann, "state-6.") == []
    await one.close()
    await other.close()


async def test_a_user_who_comes_in_at_two_chats_at_once_is_one_user(postgres: Postgres) -> None:
    place = PostgresServer(postgres.new_database())
    stores = [ThreadStore(place) for _ in range(3)]
    ids = await asyncio.gather(*(new_user(each, "ann") for each in stores for _ in range(5)))
    assert len(set(ids)) == 1
    assert await stores[0].execute_sql("SELECT COUNT(*) AS n FROM users", {}) == [{"n": 1}]
    for each in stores:
        await each.close()


async def test_a_silent_server_is_waited_for_once_also_by_those_who_search(monkeypatch: pytest.MonkeyPatch) -> None:
    with running_postgres() as server:
        place = PostgresServer(server.new_database())
        monkeypatch.setattr(place, "patience", 1.0)
        history = ThreadStore(place)
        ann = await new_user(history, "ann")
        thread_id = await new_thread(history, ann, "Bees?")
        server.stop(signal.SIGSTOP)
        async with asyncio.timeout(8):  # one second each, and no longer
            for _ in range(3):
                assert await found(history, ann, "bees") == []
            assert history.is_down
            with pytest.raises(StoredLater, match="saved as soon as it can be"):
                await history.save_element(card(thread_id, "written later"))
            assert (await history.create_user(User(identifier="bob")) or User(identifier="")).identifier == "bob"
        server.go_on()
        until = asyncio.get_running_loop().time() + 15
        while not (thread := await history.get_thread(thread_id)) or not thread["elements"]:
            assert asyncio.get_running_loop().time() < until
            await asyncio.sleep(0.1)
        assert await found(history, ann, "bees") == [thread_id]
        await history.close()
        with pytest.raises(StoreFailed):
            await history.save_element(card(thread_id, "too late"))
