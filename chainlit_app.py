"""The room: one message -> two streaming answers -> votes. Wiring only; `make chat` (python -m chat) starts it.

Which arm stands on which side is drawn here, for each question, and stays here: the card learns it when the first
rating is stored. What a card needs after a reload comes from table `answers`, so any later process can unveil it.
"""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import threading
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from typing import Any, cast
from weakref import WeakValueDictionary

import chainlit as cl
from chainlit.auth import create_jwt
from chainlit.auth.cookie import _auth_cookie_name
from chainlit.config import config
from chainlit.context import init_ws_context
from chainlit.server import app, sio
from chainlit.types import ThreadDict
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute
from starlette.datastructures import Headers

from chat.card import INTERRUPTED, STOPPED, Card, Props, as_markdown, make_reveal
from chat.guard import Guard
from chat.history import History
from chat.identity import GiveCookie, RaterCookie, load_secret
from chat.live import ELEMENT, LiveCard, Room
from rag.duel import Done, Failed, check_query
from rag.errors import BadRating, ThumbtuneError
from rag.feedback import VALUES, rate_answer
from rag.records import ARMS, SIDES, Arm, Label, Side
from rag.serve import open_serving
from rag.settings import EXTRACTIVE, ROOT, load_settings

FOLLOW_SECONDS = 2.0  # how often the chat looks whether another model was promoted
EVERYWHERE = ("0.0.0.0", "::")  # listening there is no address to go to
INTERNAL = "Something went wrong that nobody foresaw; the terminal that runs the chat shows what."
BUSY = "One question at a time: wait until both answers are complete, or stop them, then ask again."
STARTERS = (  # each stands in docs/questions.jsonl, with the section that answers it
    "What is thumbtune and what does it do?",
    "Which passages get the credit for a thumb up?",
    "What does a challenger need to be promoted?",
    "How do I use a local model with Ollama?",
)

log = logging.getLogger("thumbtune")
settings = load_settings()
secret = load_secret(settings.secret)
os.environ.setdefault("CHAINLIT_AUTH_SECRET", secret)
rater_cookie = RaterCookie(secret)
history = History(settings.chat_db)
serving = open_serving(settings)


live_cards: WeakValueDictionary[str, LiveCard] = WeakValueDictionary()


# --- asking --------------------------------------------------------------------------------------------------------


@cl.on_message
async def ask(message: cl.Message) -> None:
    """Answer a question by both arms, side by side."""
    room = my_room()
    if room.is_busy:
        await say(BUSY)
        return
    room.duel = asyncio.current_task()
    try:
        await duel(room, check_query(message.content))
    except ThumbtuneError as error:
        await say(str(error))
    except Exception:  # Chainlit shows the user nothing of what leaves this function
        log.exception("a question failed")
        await say(INTERNAL)


async def duel(room: Room, query: str) -> None:
    """Stream both answers into one card, and leave the card complete whatever happens."""
    message = await say("")
    live = LiveCard(history.save_element, message.thread_id, message.id)
    live_cards[live.id] = live
    room.cards.append(live)
    watch(live)
    await live.show()
    await live.keep()
    try:
        await stream(live, query)
    except asyncio.CancelledError:
        live.card.break_off("stopped", STOPPED)
        raise
    except ThumbtuneError as error:
        live.card.break_off("failed", str(error))
    finally:
        live.card.break_off("failed", INTERNAL)
        await live.keep()
        await live.show()


async def stream(live: LiveCard, query: str) -> None:
    """Let the duel's events change the card, each arm on the side that was drawn for it."""
    sides = draw_sides()
    events = serving.ask(query, sides=sides, duel_id=secrets.token_hex(8))
    async with live.snapshots(), aclosing(cast(Any, events)):
        async for event in events:
            live.card.take(sides[event.arm], event)
            live.touch()
            if isinstance(event, Done | Failed):
                if live.card.is_unveiled:  # the other answer was rated while this one was being written
                    await asyncio.to_thread(unveil, live.card)
                await live.keep()


async def say(text: str) -> cl.Message:
    """Send a message of the chat's own, and return it."""
    return cast(cl.Message, await cl.Message(as_markdown(text, 0)).send())  # type: ignore[no-untyped-call]


def draw_sides() -> dict[Arm, Side]:
    """Return which arm stands on which side, drawn by lot."""
    sides: Sequence[Side] = secrets.SystemRandom().sample(SIDES, len(SIDES))
    return dict(zip(ARMS, sides, strict=True))


@sio.on("stop")  # type: ignore[untyped-decorator]
async def stop(socket_id: str) -> None:
    """Cancel the duel. (Chainlit's own handler cancels the newest task, which may be a question that was refused, and
    leaves "Task manually stopped." in the thread for ever; the card says it where it belongs.)
    """
    init_ws_context(socket_id)
    room = my_room()
    if room.duel and room.is_busy:
        room.duel.cancel()


# --- rating --------------------------------------------------------------------------------------------------------


@cl.action_callback("vote")
async def vote(action: cl.Action) -> dict[str, str]:
    """Store a vote and show it; what goes wrong is returned in words, since Chainlit swallows exceptions here."""
    try:
        answer_id, value = read_vote(action.payload)
        live = my_room().card_with(answer_id)
        async with live.lock:
            await rate(live, answer_id, value)
    except ThumbtuneError as error:
        return {"error": str(error)}
    except Exception:
        log.exception("a vote failed")
        return {"error": INTERNAL}
    return {}


def read_vote(payload: Mapping[str, Any]) -> tuple[str, Label]:
    """Return answer id and value of what a browser sent, which may be anything. Raises BadRating."""
    answer_id, value = payload.get("answer"), payload.get("value")
    if not isinstance(answer_id, str) or type(value) is not int or value not in VALUES:
        raise BadRating(f"{str(payload)[:80]} is no vote: reload the page, then rate")
    return answer_id, value


async def rate(live: LiveCard, answer_id: str, value: Label) -> None:
    """Store a vote, then show it; the first one of a card unveils it."""
    card = live.card
    if not card.is_unveiled and value == 0:
        raise BadRating("there is no vote to take back")
    await asyncio.to_thread(
        rate_answer,
        serving.store,
        rater=my_name(),
        answer_id=answer_id,
        value=value,
        blind=not card.is_unveiled,
    )
    card.vote(answer_id, value)
    if not card.is_unveiled:
        await asyncio.to_thread(unveil, card)
    await live.keep()
    await live.show()


def unveil(card: Card) -> None:
    """Show which arm wrote which answer; the stored answers know."""
    answers = serving.store.answers(card.answer_ids.values())
    by_side = {side: answer for side, id_ in card.answer_ids.items() for answer in answers if answer.id == id_}
    card.unveil(make_reveal(by_side, serving.notes()))


# --- coming back ---------------------------------------------------------------------------------------------------


@cl.on_chat_resume
async def resume(thread: ThreadDict) -> None:
    """Put a thread's cards back, with the votes that are stored, and go on showing one that is still being written."""
    room = my_room()
    elements = [element for element in thread["elements"] or [] if element["name"] == ELEMENT]
    votes = await asyncio.to_thread(stored_votes, my_name())
    for element in elements:
        live = live_cards.get(element["id"])
        if live is None:
            place = thread["id"], str(element.get("forId")), element["id"]
            live = LiveCard(history.save_element, *place, cast(Props, element["props"]))
            live_cards[element["id"]] = live
            await asyncio.to_thread(restore, live.card, votes)
        watch(live)
        room.cards.append(live)
        element["props"] = cast(dict[str, Any], live.card.props)


@cl.action_callback("refresh")
async def refresh(action: cl.Action) -> None:
    """Send this session's cards again: its connection was lost for a while, and what was sent meanwhile with it."""
    for live in my_room().cards:
        watch(live)
        await live.show()


def stored_votes(rater: str) -> dict[str, Label]:
    """Return answer id -> vote, of one rater. The table is the truth; what the history kept of a card may be older."""
    return {rating.answer_id: rating.value for rating in serving.store.ratings() if rating.rater == rater}


def restore(card: Card, votes: Mapping[str, Label]) -> None:
    """Bring a card that was read from the history up to what is stored."""
    card.break_off("failed", INTERRUPTED)
    rated = {answer_id: votes[answer_id] for answer_id in card.answer_ids.values() if answer_id in votes}
    for answer_id, value in rated.items():
        card.vote(answer_id, value)
    if rated and not card.is_unveiled:
        unveil(card)


def watch(live: LiveCard) -> None:
    """Show a card in the session that is current, from now on."""
    live.watch(cl.context.session.id, cl.context.emitter)


def my_room() -> Room:
    """Return the room of the session that is current."""
    room = cl.user_session.get("room")  # type: ignore[no-untyped-call]
    if not isinstance(room, Room):
        room = Room()
        cl.user_session.set("room", room)  # type: ignore[no-untyped-call]
    return room


def my_name() -> str:
    """Return the rater of the session that is current."""
    return str(cl.user_session.get("user").identifier)  # type: ignore[no-untyped-call]


# --- the house -----------------------------------------------------------------------------------------------------


@cl.header_auth_callback
async def who(headers: Headers) -> cl.User | None:
    """Turn the signed cookie into a user, so that nobody sees a login page."""
    rater = rater_cookie.read(headers)
    return cl.User(identifier=rater, display_name="You") if rater else None


def sign_in(rater: str) -> dict[str, str]:
    """Return the cookie that Chainlit's own login would set for a rater."""
    return {_auth_cookie_name: create_jwt(cl.User(identifier=rater, display_name="You"))}


@cl.data_layer
def chat_history() -> History:
    """Give Chainlit the history."""
    return history


@cl.set_starters
async def starters(user: cl.User | None) -> list[cl.Starter]:
    """Suggest questions where the documents are the ones that ship with the app; of others we know none."""
    shipped = settings.docs == ((ROOT / "docs").resolve(),)
    return [cl.Starter(label=question, message=question) for question in STARTERS] if shipped else []


def footer() -> str:
    """Return the line under the chat: who writes the answers."""
    writer = serving.answerer
    if writer == EXTRACTIVE:
        return "Answers: extractive, sentences quoted from your documents (no LLM is configured)."
    return f"Answers: {writer}, from the passages below each answer. Check what matters."


async def words() -> JSONResponse:
    """Serve the English texts of the page, with the footer of this chat."""
    texts = config.load_translation("en-US")
    texts["chat"]["watermark"] = as_markdown(footer(), 0)
    return JSONResponse({"translation": texts})


def follow_promotions() -> None:
    """Serve what is promoted, while the chat runs. A look that fails is repeated at the next one."""
    while not closing.wait(FOLLOW_SECONDS):
        try:
            if serving.refresh():
                print(f"Now serving: {', '.join(f'{arm} {serving.served(arm).model}' for arm in ARMS)}", flush=True)
        except Exception:
            log.exception("the models in use could not be checked")


@cl.on_app_startup
async def open_house() -> None:
    """Start following the registry, and say where the chat is."""
    threading.Thread(target=follow_promotions, name="follow-promotions", daemon=True).start()
    for note in serving.notes():
        print(f"Note: {note}")
    host = "localhost" if settings.host in EVERYWHERE else settings.host
    print(f"thumbtune: http://{host}:{settings.port}  (Ctrl-C stops it)", flush=True)


@cl.on_app_shutdown
async def close_house() -> None:
    """Wait for the writes under way: Chainlit ends its process without any other farewell."""
    closing.set()
    await asyncio.to_thread(serving.close)


closing = threading.Event()
if app.middleware_stack is None:  # not when `chainlit run -w` loads this file again
    app.add_middleware(GiveCookie, cookie=rater_cookie, sign_in=sign_in)
    app.add_middleware(Guard)
    app.router.routes.insert(0, APIRoute("/project/translations", words))
