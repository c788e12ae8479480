"""Open WebUI in front of thumbtune: thumbs that come back, its own RAG beside ours, and what its thumbs teach.

`python -m benchmarks.serve.openwebui FILE.json --openwebui PROGRAM [--asked N] [--rated N] [--seeds N] [--fast]`,
with a SQuAD-format file and the `open-webui` of an environment of its own. Everything goes through Open WebUI's own
API: a person signs up, the same documents become a knowledge base, embedded by thumbtune-base, and each question is
asked twice: of a language model with that knowledge base, and of thumbtune-duel. A thumb is up when a cited passage
holds the answer. The export is imported by `python -m rag import`; then versions are trained on these thumbs and on
those that the same questions got in the chat's own duels, as many as there are seeds. The cache keeps both sets of
thumbs and each training, so a run that was stopped goes on.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from benchmarks.learning.cells import METRICS, Cells, Rater, values_of
from benchmarks.learning.squad import Asked, Few, World, build_world, read_papers
from benchmarks.load.chat_process import answers as responds
from benchmarks.load.chat_process import free_port
from benchmarks.load.streams import paced_llm
from rag.evaluation.intervals import Interval, paired_bootstrap
from rag.evaluation.metrics import Values
from rag.records import normalise_query
from rag.settings import Settings
from rag.store.store import Store, open_store
from train.dataset.plan import TrainingOptions

CLIENT = "openwebui"
K = 5
ENOUGH = 0.8  # of the gain by the chat's thumbs: what thumbs through Open WebUI should gain
RESAMPLES = 10_000  # of the test questions, for the ratio's interval
LLM_TOKENS = 8  # of the language model behind Open WebUI's own RAG: only its passages are compared
PACE = 2.1  # seconds: one person may ask 30 questions in a minute
STARTS = 1800  # seconds: its first start migrates its database
CITED = re.compile(r"\[(\d+)\]")
Json = Mapping[str, Any]


@dataclass
class OpenWebUI:
    """A signed-in person at an Open WebUI."""

    http: httpx.Client

    def sign_up(self) -> None:
        """Make the first account, which is the administrator's."""
        who = {"name": "Ann", "email": "ann@example.org", "password": "correct-horse-1"}
        reply = self._post("/api/v1/auths/signup", who)
        self.http.headers["authorization"] = f"Bearer {reply['token']}"

    def models(self) -> list[str]:
        """Return the ids of the models that a person can choose."""
        return [each["id"] for each in self._get("/api/models")["data"]]

    def ask(self, model: str, question: str, files: Sequence[Json] = ()) -> Json:
        """Ask in a chat of its own, as its page does, and return the chat when the answer is there.

        Not before PACE is over, so that no answer is refused. Ends the program where the answer is an error.
        """
        due = time.monotonic() + PACE
        user, assistant = str(uuid.uuid4()), str(uuid.uuid4())
        message = {"id": user, "parentId": None, "childrenIds": [assistant], "role": "user", "content": question}
        body = {
            "stream": True,
            "model": model,
            "messages": [{"role": "user", "content": question}],
            "parent_id": None,
            "user_message": {**message, "timestamp": int(time.time()), "models": [model], "files": list(files)},
            "id": assistant,
            "session_id": str(uuid.uuid4()),
            "files": list(files),
            "background_tasks": {},
        }
        begun = self._post("/api/chat/completions", body)
        while True:
            chat = self._get(f"/api/v1/chats/{begun['chat_id']}")
            answer = chat["chat"]["history"]["messages"][assistant]
            if answer.get("error"):
                raise SystemExit(f"Open WebUI: {model}: {answer['error']}")
            if answer.get("done"):
                time.sleep(max(0.0, due - time.monotonic()))
                return {"chat": chat, "message": answer}
            time.sleep(0.1)

    def rate(self, asked: Json, value: int) -> None:
        """Press a thumb, as its page does."""
        chat, message = asked["chat"], asked["message"]
        meta = {"model_id": message["model"], "message_id": message["id"], "message_index": 2, "chat_id": chat["id"]}
        data = {"rating": value, "model_id": message["model"]}
        body = {"type": "rating", "data": data, "meta": {"arena": False, **meta}, "snapshot": {"chat": chat}}
        self._post("/api/v1/evaluations/feedback", body)

    def export(self) -> list[Json]:
        """Return all feedback, as an administrator exports it."""
        found: list[Json] = self._get("/api/v1/evaluations/feedbacks/all/export")
        return found

    def know(self, name: str, paths: Sequence[Path]) -> Json:
        """Make a knowledge base of files and return it as a chat attaches it."""
        base = self._post("/api/v1/knowledge/create", {"name": name, "description": name})
        for path in paths:
            with path.open("rb") as file:
                upload = {"file": (path.name, file, "text/plain")}
                reply = self.http.post("/api/v1/files/", params={"process_in_background": "false"}, files=upload)
            self._post(f"/api/v1/knowledge/{base['id']}/file/add", {"file_id": _checked(reply)["id"]})
        return {"type": "collection", "id": base["id"], "name": name}

    def _get(self, path: str) -> Any:  # JSON
        return _checked(self.http.get(path))

    def _post(self, path: str, body: Json) -> Any:  # JSON
        return _checked(self.http.post(path, json=body))


def _checked(reply: httpx.Response) -> Any:  # JSON
    if reply.is_error:
        raise SystemExit(f"Open WebUI: {reply.request.method} {reply.request.url.path}: {reply.text[:300]}")
    return reply.json()


def passages(message: Json) -> list[str]:
    """Return the texts of an answer's sources, in the order of their numbers."""
    return [text for source in message.get("sources") or () for text in source.get("document") or ()]


def cited(message: Json) -> list[str]:
    """Return the texts of the sources that an answer cites."""
    shown = passages(message)
    numbers = dict.fromkeys(int(number) for number in CITED.findall(message.get("content", "")))
    return [shown[number - 1] for number in numbers if 0 < number <= len(shown)]


def holds(texts: Sequence[str], answer: str) -> bool:
    """Return whether one of the texts has an answer in it, whatever its blanks and case."""
    wanted = "".join(answer.casefold().split())
    return any(wanted in "".join(text.casefold().split()) for text in texts)


def answers_of(data: Path) -> dict[str, list[str]]:
    """Return the answers of each question of a file."""
    found: dict[str, list[str]] = {}
    for paper in read_papers(data):
        for each in paper["qas"]:
            said = [answer["text"] for answer in each.get("answers") or () if answer["text"]]
            found.setdefault(normalise_query(each["question"]), []).extend(said)
    return found


@contextmanager
def process(command: Sequence[str], environment: Mapping[str, str], ready: str, log: Path) -> Iterator[None]:
    """Run a server until its address responds, and end it."""
    with log.open("a") as out, subprocess.Popen(command, env=dict(environment), stdout=out, stderr=out) as server:
        try:
            end = time.monotonic() + STARTS
            while not responds(ready):
                if server.poll() is not None or time.monotonic() > end:
                    raise SystemExit(f"{command[0]} did not start: {log}")
                time.sleep(0.5)
            yield
        finally:
            server.terminate()
            server.wait()


@contextmanager
def served(settings: Settings, folder: Path) -> Iterator[tuple[str, str]]:
    """Serve a home to other programs; yield the server's address and Open WebUI's key."""
    port = free_port()
    known = {"THUMBTUNE_HOME": str(settings.home), "THUMBTUNE_DOCS": os.pathsep.join(map(str, settings.docs))}
    environment = {**os.environ, **known, "THUMBTUNE_PORT": str(port), "THUMBTUNE_LLM": "extractive"}
    add = [sys.executable, "-m", "serve", "keys", "add", CLIENT]
    said = subprocess.run(add, env=environment, check=True, capture_output=True, text=True).stdout
    key = next(word for word in said.split() if len(word) > 30)
    url = f"http://127.0.0.1:{port}"
    with process([sys.executable, "-m", "serve"], environment, f"{url}/ready", folder / "serve.log"):
        yield url, key


@contextmanager
def open_webui(program: Path, folder: Path, thumbtune: str, key: str, llm: str) -> Iterator[OpenWebUI]:
    """Run Open WebUI with two connections, thumbtune and a language model; its own RAG embeds by thumbtune-base."""
    port = free_port()
    environment = {
        **os.environ,
        "DATA_DIR": str(folder / "open-webui"),
        "WEBUI_SECRET_KEY": "benchmark",
        "OFFLINE_MODE": "true",
        "ANONYMIZED_TELEMETRY": "false",
        "ENABLE_OLLAMA_API": "false",
        "OPENAI_API_BASE_URLS": f"{thumbtune}/v1;{llm}",
        "OPENAI_API_KEYS": f"{key};none",
        "RAG_EMBEDDING_ENGINE": "openai",
        "RAG_EMBEDDING_MODEL": "thumbtune-base",
        "RAG_OPENAI_API_BASE_URL": f"{thumbtune}/v1",
        "RAG_OPENAI_API_KEY": key,
        "RAG_EMBEDDING_BATCH_SIZE": "64",
        "RAG_TOP_K": str(K),
        "ENABLE_RETRIEVAL_QUERY_GENERATION": "false",
        "ENABLE_TITLE_GENERATION": "false",
        "ENABLE_TAGS_GENERATION": "false",
        "ENABLE_FOLLOW_UP_GENERATION": "false",
        "ENABLE_FORWARD_USER_INFO_HEADERS": "true",
    }
    url = f"http://127.0.0.1:{port}"
    command = [str(program), "serve", "--host", "127.0.0.1", "--port", str(port)]
    with (
        process(command, environment, f"{url}/health", folder / "open-webui.log"),
        httpx.Client(base_url=url, timeout=600) as http,
    ):
        person = OpenWebUI(http)
        person.sign_up()
        yield person


def imported(settings: Settings, path: Path) -> str:
    """Import an export by the command, and return what it prints."""
    known = {"THUMBTUNE_HOME": str(settings.home), "THUMBTUNE_DOCS": os.pathsep.join(map(str, settings.docs))}
    command = [sys.executable, "-m", "rag", "import", str(path), "--client", CLIENT]
    return subprocess.run(command, env={**os.environ, **known}, check=True, capture_output=True, text=True).stdout


def thumbs(settings: Settings) -> list[tuple[str, str, int]]:
    """Return rater, answer and value of each stored thumb of Open WebUI, sorted."""
    store = open_store(settings.lancedb)
    rows = [(r.rater, r.target_id, int(r.value)) for r in store.feedback.ratings() if r.rater.startswith(f"{CLIENT}:")]
    store.close()
    return sorted(rows)


def ask_and_rate(person: OpenWebUI, asked: Sequence[Asked], answers: Mapping[str, list[str]]) -> dict[str, int]:
    """Ask thumbtune-duel each question, press a thumb on each answer, and count what came back."""
    counts = {"asked": len(asked), "answered": 0, "citing": 0, "found": 0, "up": 0}
    for each in asked:
        reply = person.ask("thumbtune-duel", each.query)
        message, said = reply["message"], answers[normalise_query(each.query)]
        counts["answered"] += bool(message.get("content"))
        counts["citing"] += bool(cited(message))
        counts["found"] += any(holds(passages(message)[:K], text) for text in said)
        right = any(holds(cited(message), text) for text in said)
        counts["up"] += right
        person.rate(reply, 1 if right else -1)
    return counts


def own_rag(person: OpenWebUI, model: str, base: Json, asked: Sequence[Asked], answers: Mapping[str, list[str]]) -> int:
    """Return for how many questions Open WebUI's own RAG finds a passage with the answer among the first K."""
    found = 0
    for each in asked:
        texts = passages(person.ask(model, each.query, [base])["message"])[:K]
        found += any(holds(texts, text) for text in answers[normalise_query(each.query)])
    return found


def through_open_webui(cells: Cells, given: argparse.Namespace) -> Callable[[Settings, Store], None]:
    """Return what rates the questions of the training part through Open WebUI, for a home."""

    def rate(settings: Settings, store: Store) -> None:
        folder = cells.folder / f"open-webui-{time.monotonic_ns()}"
        folder.mkdir()
        world, answers = cells.world, answers_of(given.data)
        asked = world.of("train")[: given.rated]
        with (
            paced_llm(LLM_TOKENS) as llm,
            served(settings, folder) as (url, key),
            open_webui(given.openwebui, folder, url, key, llm["OPENAI_BASE_URL"]) as person,
        ):
            names = person.models()
            print(f"models in Open WebUI: {', '.join(names)}", flush=True)
            counts = ask_and_rate(person, asked, answers)
            print("through thumbtune-duel: " + ", ".join(f"{n} {what}" for what, n in counts.items()), flush=True)
            exported = person.export()
            some = asked[: given.asked]
            if some:
                base = person.know("papers", sorted(world.settings.docs[0].glob("*.txt")))
                model = next(name for name in names if not name.startswith("thumbtune"))
                own = own_rag(person, model, base, some, answers)
                print(f"its own RAG: the answer among the first {K} passages for {own} of {len(some)}", flush=True)
                again = [person.ask("thumbtune-base", each.query)["message"] for each in some]
                ours = sum(
                    any(holds(passages(m)[:K], text) for text in answers[normalise_query(each.query)])
                    for m, each in zip(again, some, strict=True)
                )
                print(f"thumbtune-base behind it: {ours} of {len(some)}", flush=True)
        (folder / "export.json").write_text(json.dumps(exported))
        said = imported(settings, folder / "export.json").splitlines()[0]
        once = thumbs(settings)
        imported(settings, folder / "export.json")
        lost, doubled = len(asked) - len(once), len(thumbs(settings)) - len(once)
        print(f"exported {len(exported)} thumbs; {said}; lost {lost}, doubled by a second import {doubled}", flush=True)

    return rate


def in_the_chat(cells: Cells, given: argparse.Namespace) -> Callable[[Settings, Store], None]:
    """Return what rates the same questions in the chat's own duels: both answers get a thumb."""

    def rate(settings: Settings, store: Store) -> None:
        counts = cells.ask(settings, cells.world.of("train")[: given.rated], Rater())
        print(f"in the chat: {counts['up']} up, {counts['down']} down", flush=True)

    return rate


def rated_home(cells: Cells, name: str, rate: Callable[[Settings, Store], None]) -> Settings:
    """Return a copy of the indexed home with the thumbs of one way; it is kept, so that they are collected once."""
    kept = cells.folder / f"rated-{name}"
    if not kept.exists():
        with cells.home() as (settings, store):
            rate(settings, store)
            store.close()
            settings.home.rename(kept)
    return cells.world.settings.model_copy(update={"home": kept})


def learn(cells: Cells, rated: Settings, name: str, options: TrainingOptions) -> Json:
    """Return a cell: what a version gains that is trained on the thumbs of a rated home."""

    def compute() -> dict[str, Any]:
        apart = Cells(cells.folder, replace(cells.world, settings=rated), quick=cells.quick)
        with apart.home() as (settings, store):
            return apart.learn(settings, store, options)

    return cells.cell(name, compute)


def mean_values(trained: Sequence[Json], metric: str) -> Values:
    """Return the value of each test question, the mean of some trainings."""
    mean: Values = np.mean([values_of(dict(cell), metric) for cell in trained], axis=0)
    return mean


def exactly(gain: Interval) -> str:
    """Return a gain with three decimals."""
    return f"{gain.mean:+.3f} [{gain.low:+.3f}, {gain.high:+.3f}]"


def report(cells: Cells, trained: Mapping[str, Sequence[Json]]) -> None:
    """Print what each way gains over base and over the other one, and the ratio of both gains."""
    for metric in METRICS:
        base = values_of(cells.base(), metric)
        ours, theirs = mean_values(trained["chat"], metric), mean_values(trained["open-webui"], metric)
        for name, values in (("open-webui", theirs), ("chat", ours)):
            each = ", ".join(f"{values_of(dict(c), metric).mean() - base.mean():+.3f}" for c in trained[name])
            print(
                f"{name}: {metric} over base {exactly(paired_bootstrap(values, base))}, each training {each}",
                flush=True,
            )
        print(f"open-webui over chat: {metric} {exactly(paired_bootstrap(theirs, ours))}", flush=True)
        gains = theirs - base, ours - base
        draws = np.random.default_rng(0).integers(0, len(base), (RESAMPLES, len(base)))
        with np.errstate(divide="ignore", invalid="ignore"):
            ratios = gains[0][draws].mean(axis=1) / gains[1][draws].mean(axis=1)
            ratio = gains[0].mean() / gains[1].mean()
        low, high = np.nanquantile(ratios, (0.025, 0.975))
        share = float((ratios >= ENOUGH).mean())
        print(f"ratio of the gains: {metric} {ratio:.2f} [{low:.2f}, {high:.2f}], {share:.0%} at least {ENOUGH}")


def main() -> None:
    """Ask, rate, import and train by both ways, and print what each gains."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.serve.openwebui", description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, help="a SQuAD-format JSON file")
    parser.add_argument("--openwebui", type=Path, required=True, help="the program open-webui")
    parser.add_argument("--cache", type=Path, default=Path("data/bench-openwebui"))
    parser.add_argument("--few", type=int, default=0, metavar="N", help="take only so many documents")
    parser.add_argument("--asked", type=int, default=50, metavar="N", help="questions for its own RAG, too")
    parser.add_argument("--rated", type=int, default=200, metavar="N", help="questions that get a thumb")
    parser.add_argument("--fast", action="store_true", help="train query adapters instead of weights")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="trainings on the same thumbs, averaged")
    given = parser.parse_args()
    folder = given.cache / f"{given.data.stem}{given.few or ''}"
    world: World = build_world(given.data, folder, Few(given.few) if given.few else None)
    print(world.summary(), flush=True)
    cells = Cells(folder, world, quick=False)
    ways = {"open-webui": through_open_webui(cells, given), "chat": in_the_chat(cells, given)}
    homes = {name: rated_home(cells, f"{name}-{given.rated}", rate) for name, rate in ways.items()}
    trained: dict[str, list[Json]] = {name: [] for name in ways}
    for seed in range(given.seeds):
        for name, rated in homes.items():
            how = f"{name}-{'adapter' if given.fast else 'full'}-{given.rated}-seed{seed}"
            cell = learn(cells, rated, how, TrainingOptions(fast=given.fast, cross_fit=False, seed=seed))
            if "refused" in cell:
                raise SystemExit(f"{name}: {cell['refused']}")
            print(f"{how}: {cell['pairs']} pairs, {cell['train_cpu_s']:.0f} processor s, {cell['verdict']}", flush=True)
            trained[name].append(cell)
    report(cells, trained)


if __name__ == "__main__":
    main()
