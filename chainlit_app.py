"""The room: one message -> two streaming answers -> ratings. Wiring only; `make chat` (python -m chat) starts it."""

from __future__ import annotations

import asyncio
import logging
import os
import re
import threading
from collections.abc import Mapping
from typing import Annotated

import chainlit as cl
from chainlit.config import config
from chainlit.context import init_ws_context
from chainlit.server import _language_pattern, app, router, sio
from chainlit.types import ThreadDict
from fastapi import Query
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from chat.actions import ask, passages, rate, resume, review, teach
from chat.actions.documents import DOCUMENTS, UploadQueue, accept_documents, revive_files
from chat.actions.resume import Revive
from chat.elements.markdown import as_markdown
from chat.scoreboard import routes
from chat.session.context import Action, AppState, Command, as_action, as_command, current_context, say
from chat.session.thread_store import ThreadStore, open_new_thread, redirect_other_raters
from chat.training.panel import ELEMENT as TRAINING
from chat.training.panel import TrainingPanel
from chat.training.report_files import reports_route
from chat.web.index_page import serve_page
from chat.web.rater_cookie import load_secret
from chat.web.security import SecurityMiddleware, allowed_hosts
from chat.web.signin import auth_mode, install
from rag.answering.service import open_service
from rag.records import ARMS
from rag.settings import EXTRACTIVE, ROOT, load_settings

FOLLOW_SECONDS = 2.0  # how often the chat looks whether another model was promoted
COMMAND = re.compile(r"/[A-Za-z]+")  # a word alone that looks like one; "/etc/hosts" is a question
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
door = auth_mode(settings)
os.environ["CHAINLIT_AUTH_SECRET"] = door.token_key(secret)
house = AppState(settings, open_service(settings), ThreadStore(settings.chat_db))
house.serving.maintenance.start()
desk = TrainingPanel(house)
reception = UploadQueue()
accept_documents(settings)

ACTIONS: Mapping[str, Action] = {  # what the buttons of the elements call
    "vote": teach.then_suggest(rate.vote),
    "choose": teach.then_suggest(rate.choose),
    "mark": rate.mark,
    "find": teach.find,
    "teach": teach.teach,
    "review_find": review.find,
    "review_teach": review.teach,
    "review_judge": review.judge,
    "review_more": review.more,
    "passage": passages.passage,
    "reask": ask.reask,
    "refresh": resume.refresh,
    "documents": reception.list_all,
    "documents_remove": reception.remove,
    "train_look": desk.look,
    "train_start": desk.start,
    "train_cancel": desk.cancel,
    "train_promote": desk.promote,
    "train_roll_back": desk.roll_back,
}
COMMANDS: Mapping[str, Command] = {  # what is typed as a word of its own, or clicked in the bar at the top
    "/train": desk.show,
    "/review": review.show,
    "/documents": reception.show,
    "/scoreboard": routes.show,
}
REVIVE: Mapping[str, Revive] = {  # elements beside the card: their props as they are now, after a reload
    TRAINING: desk.revive,
    teach.TEACH: teach.revive,
    review.REVIEW: review.revive,
    DOCUMENTS: revive_files,
}


# --- asking and rating ---------------------------------------------------------------------------------------------


@cl.on_message
async def hear(message: cl.Message) -> None:
    """Take in the files that a message brings; then answer its question by both arms, or do what a command says."""
    visit = current_context(house)
    await tell_address()
    if message.elements:
        await as_command(reception.hear(visit, message))
        if not message.content.strip():
            return
    word, rest = [*message.content.split(maxsplit=1), "", ""][:2]
    command = COMMANDS.get(word.lower())
    if command:
        await as_command(command(visit, rest.strip()))
    elif COMMAND.fullmatch(word) and not rest:
        await say(f"There is no {word}: there are {', '.join(COMMANDS)}.")
    else:
        await as_command(ask.ask(visit, message.content))


async def tell_address() -> None:
    """Say which thread this is, for the page that gives it no address of its own (public/room.js)."""
    await cl.context.emitter.send_window_message({"thread": cl.context.session.thread_id})


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
    await tell_address()
    await as_command(command(current_context(house), ""))


@sio.on("stop")  # type: ignore[untyped-decorator]
async def stop(socket_id: str) -> None:
    """Cancel the duel. (Chainlit's own handler cancels the newest task, which may be a question that was refused, and
    leaves "Task manually stopped." in the thread for ever; the card says it where it belongs.)
    """
    init_ws_context(socket_id)
    session = current_context(house).session
    if session.task and session.is_busy:
        session.task.cancel()


for name, action in ACTIONS.items():
    cl.action_callback(name)(as_action(house, action))


@cl.on_chat_resume
async def resume_thread(thread: ThreadDict) -> None:
    """Put a thread's elements back."""
    await resume.resume(current_context(house), thread, REVIVE)


@cl.on_chat_start
async def enter() -> None:
    """Open a new thread where the one to come back to is deleted: its address names nothing any more."""
    if cl.context.session.thread_id_to_resume:
        open_new_thread(cl.context.session)


@cl.on_chat_end
async def leave() -> None:
    """Stop sending to a session that has gone."""
    resume.leave(current_context(house))


# --- the house -----------------------------------------------------------------------------------------------------


@cl.data_layer
def chat_history() -> ThreadStore:
    """Give Chainlit the history."""
    return house.history


@cl.set_starters
async def starters(user: cl.User | None) -> list[cl.Starter]:
    """Suggest what would help most, and questions on the documents that ship with the app, where it serves those."""
    known = STARTERS if settings.docs == ((ROOT / "docs").resolve(),) else ()
    helping = await teach.most_helpful(house.serving, len(STARTERS), known, wait=teach.PATIENCE)
    questions = [*known[:2], *helping, *known[2:]][: len(STARTERS)]
    return [cl.Starter(label=question, message=question) for question in questions]


def footer() -> str:
    """Return the line under the chat: who writes the answers, and how their passages are found."""
    writer, how = house.serving.answerer, f"Passages: {house.serving.search_options.summary()}."
    if writer == EXTRACTIVE:
        return f"Answers: extractive, sentences quoted from your documents (no LLM is configured). {how}"
    return f"Answers: {writer}, from the passages below each answer. {how} Check what matters."


async def words(language: Annotated[str, Query(pattern=_language_pattern)] = "en-US") -> JSONResponse:
    """Serve the page's texts in the language of config.toml, else the browser's, with the footer of this chat."""
    texts = config.load_translation(config.ui.language or language)
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
    warming.append(asyncio.create_task(teach.most_helpful(house.serving, 1)))
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
warming: list[asyncio.Task[list[str]]] = []  # what compares the retrievers, so that the first page need not wait
install(door, secret, app)
if app.middleware_stack is None:  # not when `chainlit run -w` loads this file again
    serve_page(router, door.way)
    app.add_middleware(SecurityMiddleware, hosts=allowed_hosts(settings))
    redirect_other_raters(sio, house.history)
    app.router.routes.insert(0, APIRoute("/project/translations", words))
    app.router.routes.insert(0, reports_route(settings.runs))
    app.router.routes.insert(0, passages.pdf_route(house))
    app.router.routes[:0] = routes.routes(house)
