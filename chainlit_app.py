"""Chainlit app: one message -> two streaming answers -> ratings. Wiring only; `python -m chat` runs it."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import re
import threading
from collections.abc import Mapping
from functools import partial
from typing import Annotated, Any

import chainlit as cl
import chainlit.server
from chainlit.auth import get_current_user
from chainlit.config import config
from chainlit.context import init_ws_context
from chainlit.server import app, router, sio
from chainlit.session import WebsocketSession
from chainlit.types import ThreadDict
from fastapi import Depends, Header
from fastapi.responses import JSONResponse
from fastapi.routing import APIRoute

from chat.actions import ask, export, options, own_ratings, passages, rate, rating_files, resume, review, scope, teach
from chat.actions.documents import DOCUMENTS, UploadQueue, accept_documents, revive_files
from chat.actions.resume import Revive
from chat.elements.jsx import elements_route
from chat.elements.markdown import as_markdown
from chat.language import SECTION, Phrase, in_language, language_for, recognised
from chat.scoreboard import routes
from chat.session.context import Action, AppState, Command, as_action, as_command, current_context, say, toast
from chat.session.forgotten import follow_forgotten
from chat.session.garbage import collect_when_idle
from chat.session.incoming import action_route, guard_events, upload_route
from chat.session.memory import trim_now_and_then
from chat.session.outage import tell_outages
from chat.session.roles import is_admin, note_on_admins
from chat.session.thread_store import ThreadStore, open_new_thread, redirect_other_raters
from chat.training import first_start
from chat.training.first_start import Progress
from chat.training.panel import ELEMENT as TRAINING
from chat.training.panel import TrainingPanel
from chat.training.report_files import reports_route
from chat.web.index_page import serve_page
from chat.web.language_file import how_it_works, language_route
from chat.web.rate_limits import RateLimits, SignInLimit
from chat.web.security import SecurityMiddleware
from chat.web.signin import auth_mode, install
from rag.answering.service import open_service
from rag.errors import StoreFailed
from rag.history import history_of
from rag.models.registry import START_WEIGHTS
from rag.settings import EXTRACTIVE, ROOT, load_settings
from rag.web.hosts import allowed_hosts
from rag.web.secret import load_secret
from serve.app import api_routes, is_api, open_api

FOLLOW_SECONDS = 0.5  # how often the registry is checked for a newly promoted model: a stat of one file
COMMAND = re.compile(r"/[A-Za-z]+")  # a single word; "/etc/hosts" is a question
CLOSE = "thumbtune:close"  # posted by the page (public/app.js) when a place was left
EVERYWHERE = ("0.0.0.0", "::")  # listening addresses that a browser cannot open
STARTERS = {  # each is in docs/questions.jsonl with the page that answers it; docs/log.md says how they were chosen
    "What is thumbtune and what does it do?": "index.md",
    "How do I use my own documents?": "how-to/your-own-documents.md",
    "How often are listed pages downloaded again?": "how-to/your-own-documents.md",
    "How do I use a local model with Ollama?": "how-to/choose-an-llm.md",
}

MOST_STARTERS = 4
log = logging.getLogger("thumbtune")
settings = load_settings()
secret = load_secret(settings.secret)
mode = auth_mode(settings)
os.environ["CHAINLIT_AUTH_SECRET"] = mode.token_key(secret)
limits = RateLimits(sign_in=mode.way != "cookie")
state = AppState(
    settings, open_service(settings), ThreadStore(history_of(settings)), limits=limits, proxies=mode.proxies
)
state.serving.start()
first = first_start.current(settings)
panel = TrainingPanel(state)
uploads = UploadQueue()
accept_documents(settings)

ACTIONS: Mapping[str, Action] = {  # called by the buttons of the elements
    "vote": teach.then_suggest(rate.vote),
    "choose": teach.then_suggest(rate.choose),
    "mark": rate.mark,
    "find": teach.find,
    "teach": teach.teach,
    "review_find": review.find,
    "review_teach": review.teach,
    "review_judge": review.judge,
    "review_more": review.more,
    "own_ratings": own_ratings.own_ratings,
    "own_ratings_take_back": own_ratings.take_back,
    "passage": passages.passage,
    "reask": ask.reask,
    "go_on": ask.go_on,
    "refresh": resume.refresh,
    "documents": uploads.list_all,
    "documents_remove": uploads.remove,
    "documents_show": uploads.show_one,
    "train_look": panel.look,
    "train_start": panel.start,
    "train_cancel": panel.cancel,
    "train_promote": panel.promote,
    "train_roll_back": panel.roll_back,
}
COMMANDS: Mapping[str, Command] = {  # typed, clicked in the bar at the top, or followed as a link: they open a place
    "/train": panel.show,
    "/review": review.show,
    "/ratings": own_ratings.show,
    "/documents": uploads.show,
    "/scoreboard": routes.show,
}
REVIVE: Mapping[str, Revive] = {  # elements other than the card -> their current props after a reload
    TRAINING: panel.revive,
    teach.TEACH: teach.revive,
    review.REVIEW: review.revive,
    own_ratings.RATINGS: own_ratings.revive,
    DOCUMENTS: revive_files,
}


# --- asking and rating ---------------------------------------------------------------------------------------------


@cl.on_message
async def on_message(message: cl.Message) -> None:
    """Add a message's files; then answer its question by both arms, or run its command."""
    context = current_context(state)
    await send_thread_id()
    if message.elements:
        await as_command(uploads.hear(context, message))
        if not message.content.strip():
            return
    word, rest = [*message.content.split(maxsplit=1), "", ""][:2]
    command = COMMANDS.get(word.lower())
    if command:  # it came with files
        await as_command(command(context, rest.strip()))
    elif COMMAND.fullmatch(word) and not rest:
        await say(Phrase("app.no_command", word=word, commands=", ".join(COMMANDS)))
    else:
        await as_command(ask.ask(context, message.content))


async def send_thread_id() -> None:
    """Send the thread's id to the page, which sets its address if Chainlit does not (public/app.js)."""
    await cl.context.emitter.send_window_message({"thread": cl.context.session.thread_id})


hear = sio.handlers["/"]["client_message"]  # Chainlit's own


@sio.on("client_message")  # type: ignore[untyped-decorator]
async def open_typed(socket_id: str, payload: dict[str, Any]) -> None:
    """Open what a typed command names and take the command off the screen; let Chainlit hear every other message.

    Why: Chainlit begins a thread with any message that it hears.
    """
    typed = payload["message"]
    word, rest = [*str(typed["output"]).split(maxsplit=1), "", ""][:2]
    command = COMMANDS.get(word.lower())
    if command is None or payload.get("fileReferences"):
        await hear(socket_id, payload)
        return
    init_ws_context(socket_id)
    await cl.context.emitter.delete_step(typed)
    await as_command(command(current_context(state), rest.strip()), toast)


@cl.on_window_message
async def run_command(word: object) -> None:
    """Open what a button in the bar at the top, a link or the browser's history names; or close it."""
    if isinstance(word, dict) and "scope" in word:
        scope.choose(current_context(state), word)
    if isinstance(word, dict) and "options" in word:
        options.choose(current_context(state), word["options"])
    if word == CLOSE:
        await current_context(state).close_place()
        return
    command = COMMANDS.get(word) if isinstance(word, str) else None
    if command:  # other scripts and browser extensions post messages, too
        await as_command(command(current_context(state), ""), toast)


@sio.on("stop")  # type: ignore[untyped-decorator]
async def stop(socket_id: str) -> None:
    """Cancel the running duel or upload; its card shows that it was stopped.

    Why: Chainlit's own handler cancels the newest task, which may be a refused question, and leaves "Task manually
    stopped." in the thread.
    """
    init_ws_context(socket_id)
    session = current_context(state).session
    if session.task and session.is_busy:
        session.task.cancel()


for name, action in ACTIONS.items():
    cl.action_callback(name)(as_action(state, action))


@cl.on_chat_resume
async def resume_thread(thread: ThreadDict) -> None:
    """Restore a thread's elements."""
    await resume.resume(current_context(state), thread, REVIVE)
    await greet_page()


@cl.on_chat_start
async def on_chat_start() -> None:
    """Open a new thread if the one to resume is deleted."""
    session = cl.context.session
    if isinstance(session, WebsocketSession) and session.thread_id_to_resume:
        open_new_thread(session)
    await greet_page()


async def greet_page() -> None:
    """Send the page of a new session whether its rater is an admin, and ask for the documents chosen there."""
    await cl.context.emitter.send_window_message({"admin": is_admin(settings, current_context(state).rater)})
    await scope.ask_page()
    await options.offer(current_context(state))


@cl.on_chat_end
async def on_chat_end() -> None:
    """Stop sending to a session that has ended."""
    resume.leave(current_context(state), cl.context.session)


# --- the app -------------------------------------------------------------------------------------------------------


@cl.data_layer
def chat_history() -> ThreadStore:
    """Return the thread store that Chainlit uses as its data layer."""
    return state.history


@cl.set_starters
async def starters(user: cl.User | None) -> list[cl.Starter]:
    """Suggest questions that the indexed documents answer; none rather than a bad one."""
    questions = await asyncio.to_thread(shipped_starters)
    if not questions:
        questions = await teach.examples(state.serving, MOST_STARTERS, wait=teach.PATIENCE)
    return [cl.Starter(label=question, message=question) for question in questions]


def shipped_starters() -> list[str]:
    """Return the example questions whose page is indexed; none about other documents than the shipped ones."""
    if settings.docs != ((ROOT / "docs").resolve(),):
        return []
    indexed = state.serving.store.documents.hashes(state.serving.corpus.id)
    return [question for question, page in STARTERS.items() if page in indexed][:MOST_STARTERS]


def footer() -> str:
    """Return the line under the chat: what writes the answers, and how their passages are retrieved."""
    writer, how = state.serving.answerer, recognised(state.serving.search_options.summary())
    if writer == EXTRACTIVE:
        return Phrase("app.footer_extractive", how=how)
    return Phrase("app.footer_llm", writer=writer, how=how)


async def translations(accept_language: Annotated[str, Header()] = "") -> JSONResponse:
    """Return Chainlit's texts in the browser's language, with this chat's footer."""
    language = language_for(accept_language)
    texts = config.load_translation(language)
    texts.pop(SECTION)  # the page has them already (chat/web/language_file.py)
    texts["chat"]["watermark"] = as_markdown(in_language(footer(), language), 0)
    return JSONResponse({"translation": texts})


async def first_progress(
    user: Annotated[object, Depends(get_current_user)], accept_language: Annotated[str, Header()] = ""
) -> JSONResponse:
    """Return what is indexed or trained for the first time, which the page shows until it has ended."""
    now = first.progress()
    if now.version and state.serving.served("tuned").model == START_WEIGHTS:
        now = Progress("training", Phrase("first.ready_soon"))
    return JSONResponse({"state": now.state, "text": in_language(now.text, language_for(accept_language))})


def lost() -> list[str]:
    """Return which tables cannot be read or lack what others refer to, one line each."""
    try:
        return [f"{line}: run `python -m rag doctor`" for line in state.serving.store.feedback.gaps()]
    except StoreFailed as error:
        return [str(error)]


def leave_loaded_alone() -> None:
    """Collect garbage, and exempt all that is left from later collections.

    Why: a full collection stops every thread, and looked at 300,000 objects of the libraries: 0.2 s of processor time
    for ten of a session, and a second on a busy machine.
    """
    gc.collect()
    gc.freeze()
    gc.enable()  # chat.__main__ has disabled it while the libraries are loaded


def is_answering() -> bool:
    """Return whether any question is being answered, or files are being added."""
    return any(not task.done() for task in list(state.tasks.values()))


@cl.on_app_startup
async def on_startup() -> None:
    """Start following the registry, and print the chat's address."""
    warming.append(asyncio.create_task(teach.examples(state.serving, MOST_STARTERS)))
    warming.append(asyncio.create_task(teach.most_helpful(state.serving, 1)))
    following.append(asyncio.create_task(follow_forgotten(state.history, settings.home)))
    following.append(asyncio.create_task(collect_when_idle(is_answering)))
    following.append(asyncio.create_task(trim_now_and_then()))
    follow = partial(state.serving.follow, closing, FOLLOW_SECONDS, partial(print, flush=True))
    threading.Thread(target=follow, name="follow-promotions", daemon=True).start()
    for note in [*state.serving.notes(), *await asyncio.to_thread(lost)]:
        print(f"Note: {note}")
    if settings.history and settings.chat_db.is_file():
        print(
            f"Note: {settings.chat_db} has chats from before THUMBTUNE_HISTORY, which are not shown: "
            "`python -m rag copy-chats` copies them; remove the file once you have seen them"
        )
    if note := note_on_admins(settings):
        print(f"Note: {note}")
    leave_loaded_alone()
    host = "localhost" if settings.host in EVERYWHERE else settings.host
    print(f"thumbtune: http://{host}:{settings.port}  (Ctrl-C stops it)", flush=True)


@cl.on_app_shutdown
async def on_shutdown() -> None:
    """Wait for pending writes: Chainlit then ends its process at once."""
    closing.set()
    await asyncio.to_thread(first.stop)
    await asyncio.to_thread(state.serving.close)


closing = threading.Event()
following: list[asyncio.Task[None]] = []  # so that it is not collected while it waits
warming: list[asyncio.Task[list[str]]] = []  # compares the models ahead of the first page, which then need not wait
api = open_api(settings, state.serving, secret, mode.proxies)
install(mode, secret, app, apart=is_api)
if app.middleware_stack is None:  # not when `chainlit run -w` loads this file again
    scripts = (*serve_page(router, mode.way), *routes.inline_scripts())
    chainlit.server.get_markdown_str = how_it_works
    app.add_middleware(SignInLimit, limits=limits, proxies=mode.proxies)
    app.add_middleware(SecurityMiddleware, hosts=allowed_hosts(settings), scripts=scripts)
    redirect_other_raters(sio, state.history)
    tell_outages(app, state.history)
    guard_events(sio)
    app.router.routes.insert(0, action_route())
    app.router.routes.insert(0, upload_route(state))
    app.router.routes.insert(0, APIRoute("/project/translations", translations))
    app.router.routes.insert(0, language_route())
    app.router.routes.insert(0, APIRoute("/first-start", first_progress))
    app.router.routes.insert(0, elements_route(ROOT / "public" / "elements"))
    app.router.routes.insert(0, export.export_route(state.history))
    app.router.routes.insert(0, reports_route(settings.runs))
    app.router.routes.insert(0, passages.pdf_route(state))
    app.router.routes.insert(0, scope.documents_route(state))
    app.router.routes[:0] = rating_files.rating_routes(state)
    app.router.routes[:0] = routes.routes(state)
    app.router.routes[:0] = api_routes(api)
