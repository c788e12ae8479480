"""The room: one message -> two streaming answers -> ratings. Wiring only; `make chat` (python -m chat) starts it."""

from __future__ import annotations

import asyncio
import logging
import os
import threading
from collections.abc import Mapping

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

from chat import asking, rating, returning
from chat.card import as_markdown
from chat.guard import Guard
from chat.history import History
from chat.identity import GiveCookie, RaterCookie, load_secret
from chat.returning import Revive
from chat.visit import Action, Command, House, answering, current_visit, telling
from rag.records import ARMS
from rag.serve import open_serving
from rag.settings import EXTRACTIVE, ROOT, load_settings

FOLLOW_SECONDS = 2.0  # how often the chat looks whether another model was promoted
EVERYWHERE = ("0.0.0.0", "::")  # listening there is no address to go to
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
house = House(settings, open_serving(settings), History(settings.chat_db))

ACTIONS: Mapping[str, Action] = {  # what the buttons of the elements call
    "vote": rating.vote,
    "refresh": returning.refresh,
}
COMMANDS: Mapping[str, Command] = {}  # what is typed as a word of its own, or clicked in the bar at the top
REVIVE: Mapping[str, Revive] = {}  # elements beside the card: their props as they are now, after a reload


# --- asking and rating ---------------------------------------------------------------------------------------------


@cl.on_message
async def hear(message: cl.Message) -> None:
    """Answer a question by both arms, or do what a command says."""
    visit = current_visit(house)
    word, _, rest = message.content.strip().partition(" ")
    command = COMMANDS.get(word.lower())
    await telling(command(visit, rest.strip()) if command else asking.ask(visit, message.content))


@cl.on_window_message
async def press(word: object) -> None:
    """Do what a button of the bar at the top says, as if it had been typed."""
    command = COMMANDS.get(word) if isinstance(word, str) else None
    if command is None:
        return  # any page script may post messages, browser extensions among them
    session = cl.context.session
    if not session.has_first_interaction:
        session.has_first_interaction = True
        await cl.context.emitter.init_thread(str(word))
    await cl.Message(str(word), type="user_message", author="User").send()  # type: ignore[no-untyped-call]
    await telling(command(current_visit(house), ""))


@sio.on("stop")  # type: ignore[untyped-decorator]
async def stop(socket_id: str) -> None:
    """Cancel the duel. (Chainlit's own handler cancels the newest task, which may be a question that was refused, and
    leaves "Task manually stopped." in the thread for ever; the card says it where it belongs.)
    """
    init_ws_context(socket_id)
    room = current_visit(house).room
    if room.duel and room.is_busy:
        room.duel.cancel()


for name, action in ACTIONS.items():
    cl.action_callback(name)(answering(house, action))


@cl.on_chat_resume
async def resume(thread: ThreadDict) -> None:
    """Put a thread's elements back."""
    await returning.resume(current_visit(house), thread, REVIVE)


@cl.on_chat_end
async def leave() -> None:
    """Stop sending to a session that has gone."""
    returning.leave(current_visit(house))


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
    return house.history


@cl.set_starters
async def starters(user: cl.User | None) -> list[cl.Starter]:
    """Suggest questions where the documents are the ones that ship with the app; of others we know none."""
    shipped = settings.docs == ((ROOT / "docs").resolve(),)
    return [cl.Starter(label=question, message=question) for question in STARTERS] if shipped else []


def footer() -> str:
    """Return the line under the chat: who writes the answers."""
    writer = house.serving.answerer
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
            if house.serving.refresh():
                print(
                    f"Now serving: {', '.join(f'{arm} {house.serving.served(arm).model}' for arm in ARMS)}", flush=True
                )
        except Exception:
            log.exception("the models in use could not be checked")


@cl.on_app_startup
async def open_house() -> None:
    """Start following the registry, and say where the chat is."""
    threading.Thread(target=follow_promotions, name="follow-promotions", daemon=True).start()
    for note in house.serving.notes():
        print(f"Note: {note}")
    host = "localhost" if settings.host in EVERYWHERE else settings.host
    print(f"thumbtune: http://{host}:{settings.port}  (Ctrl-C stops it)", flush=True)


@cl.on_app_shutdown
async def close_house() -> None:
    """Wait for the writes under way: Chainlit ends its process without any other farewell."""
    closing.set()
    await asyncio.to_thread(house.serving.close)


closing = threading.Event()
if app.middleware_stack is None:  # not when `chainlit run -w` loads this file again
    app.add_middleware(GiveCookie, cookie=rater_cookie, sign_in=sign_in)
    app.add_middleware(Guard)
    app.router.routes.insert(0, APIRoute("/project/translations", words))
