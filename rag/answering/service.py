"""Query service of the chat and `python -m rag ask`: opens store, models and answerer once per process."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from contextlib import aclosing

import numpy as np

from rag.answering.chain import ArmChain, ask_chat_model, build_chain
from rag.answering.duel import CutAnswer, Done, Event, Failed, run_duel
from rag.answering.evidence.attribution import Similar
from rag.answering.evidence.refusals import DONT_KNOW
from rag.answering.extractive import Score, quote, scored_texts
from rag.answering.llm import Answerer, build_chat_model, build_extractive, sampling_options
from rag.answering.options import AskOptions, Offer, chosen_search, offer_options
from rag.answering.query_rewrite import RewrittenQuery, Turn, build_rewriter
from rag.answering.sentence_vectors import SentenceVectors
from rag.answering.token_counter import TokenCounter
from rag.errors import BadQuery, StoreFailed, ThumbtuneError
from rag.groups import GroupsFile
from rag.home_address import shared_home
from rag.indexing.maintenance import Maintenance
from rag.indexing.running import read_indexing
from rag.indexing.uploads import Uploads
from rag.ingest.corpus import load_corpus
from rag.models.arms import Arms, ServedModel
from rag.models.embedder import Vectors, load_embedder
from rag.models.precision import native, pick_device
from rag.models.weights import BUILTIN
from rag.records import ARMS, Arm, Hit, Side
from rag.retrieval.search import SearchOptions, build_options, retrieve
from rag.settings import EXTRACTIVE, Settings
from rag.store.filters import EVERYWHERE, DocumentFilter, explain_empty, split_filter
from rag.store.store import Store, open_store
from rag.tracing.scores import start_scores
from rag.tracing.spans import span, start_spans
from rag.training_status import read_training

MAX_QUERY_CHARS = 4_000  # about a page; embedding models read the first 1,000 to 2,000
AHEAD_SECONDS = 60.0  # after the start, which is busy enough, and between two looks whether documents were added
AS_SERVED = AskOptions()
EMPTY = "The question is empty: type one and send it again."

log = logging.getLogger(__name__)


def open_service(settings: Settings) -> QueryService:
    """Open store, models and answerer, and what is seen from outside. Takes seconds.

    Raises NotIndexed, BadModel, StoreFailed, or BadSetting for traces that cannot be sent.
    """
    start_spans(settings)
    start_scores(settings)
    store = open_store(settings.lancedb)
    return QueryService(settings, store, Arms(settings, store, load_corpus(settings)))


class QueryService:
    """Answers queries with both arms. One per process; methods may be called from any thread."""

    def __init__(self, settings: Settings, store: Store, arms: Arms) -> None:
        self.settings, self.store, self.arms = settings, store, arms
        self.groups = GroupsFile(settings.home)
        self.corpus = arms.corpus
        self.uploads = Uploads(settings, store, arms)
        self.maintenance = Maintenance(settings, store, arms)
        self.search_options = build_options(settings)
        self.answerer = settings.answerer
        self._counter = TokenCounter(settings) if self.answerer != EXTRACTIVE else None
        if self._counter and not self._counter.is_exact and not settings.is_local_llm:
            self._counter.fetch()
        self._sentences: SentenceVectors | None = None  # of the answerer without an LLM
        self._score = self._build_scorer() if self.answerer == EXTRACTIVE else None  # of it, too
        self._answerers = {self.answerer: self._build_answerer(settings)}  # by name; others when they are asked for
        self._rewrite = build_rewriter(settings)

    def served(self, arm: Arm, group: str = "") -> ServedModel:
        """Return the model and table that serve an arm in a comparison now, for a group of raters."""
        return self.arms.current(arm, group)

    def promoted(self, arm: Arm, group: str = "") -> ServedModel:
        """Return the same where this arm alone is asked for: not a version on trial."""
        return self.arms.promoted(arm, group)

    def group_of(self, rater: str) -> str:
        """Return the group whose adapter serves a rater, by the file groups.txt as it is now; "" for none."""
        return self.groups.of(rater)

    def has_one_model(self, group: str = "") -> bool:
        """Return whether both arms embed queries with the same model, as before the first training."""
        return len({self.served(arm, group).embedder.query_fingerprint for arm in ARMS}) == 1

    def is_fair(self, group: str = "") -> bool:
        """Return whether both arms search equally many chunks: while documents are indexed, one is ahead."""
        base, tuned = (self.served(arm, group).table for arm in ARMS)
        return base == tuned or self.store.chunks.count(base) == self.store.chunks.count(tuned)

    def notes(self, group: str | None = None) -> list[str]:
        """Return notes for the user on degraded operation; empty if all is well.

        For a person they are about this group's model, "" for none; without a group about all groups'.
        """
        notes = [each for each in (self.arms.trouble, self.groups.trouble) if each]
        notes += self.maintenance.notes()
        if group != "":
            notes += self.arms.notes_of(group or "")
        if self.has_one_model(group or ""):
            notes.append("Until a training run succeeds, both sides use the same model.")
        if (tuned := self.served("tuned", group or "")).on_trial:
            notes.append(f"{tuned.model} is on trial: nothing has been promoted yet, and ratings will decide.")
        if self._counter and not self._counter.is_exact and not self.settings.is_local_llm:
            notes.append("Tokens are estimated, not counted: tiktoken's file is not in the cache.")
        return notes

    def ranks(self, arm: Arm, query: str, n: int, group: str = "") -> dict[str, int]:
        """Return chunk id -> rank of the n nearest chunks to a query, by dense search of one arm."""
        served = self.served(arm, group)
        (vector,) = served.embedder.embed_queries([query])
        return {hit.chunk.id: hit.rank for hit in self.store.chunks.search(served.table, vector, n)}

    def search(
        self, query: str, arm: Arm, k: int | None = None, only: DocumentFilter = EVERYWHERE, group: str = ""
    ) -> list[Hit]:
        """Return the k best passages of one arm, ranked as for an answer; by default as many as an answer has.

        `query` and `only` are from `parse_query`.
        """
        options = chosen_search(self.search_options, AskOptions(k=k))
        return self._retrieve(self.promoted(arm, group), query, options, only)

    def _retrieve(self, served: ServedModel, query: str, options: SearchOptions, only: DocumentFilter) -> list[Hit]:
        with span("retrieve", arm=served.arm, version=served.model, search=options.search, k=options.k) as record:
            record.texts(query=query)
            hits = retrieve(self.store, served, query, options, only)
            record.add(hits=len(hits))
        return hits

    def refresh(self) -> bool:
        """Load what was promoted or rolled back in the registry; return whether an arm's model changed."""
        return self.arms.refresh()

    def parse_query(self, text: str) -> tuple[str, DocumentFilter]:
        """Return typed text as the checked query and its document filter. Raises BadQuery.

        The only check of a question: `ask` takes a query from here. The filter is not part of the query, which is
        stored and used for training.
        """
        query, only = split_filter(check_query(text))
        if reason := explain_empty(only, self.store.documents.dates(self.corpus.id)) if only else "":
            raise BadQuery(reason)
        if not query:
            raise BadQuery(EMPTY)
        return query, only

    @property
    def offer(self) -> Offer:
        """Return what people may choose for their own questions."""
        return offer_options(self.search_options, self.answerer, self.settings.llms)

    async def ask(
        self,
        query: str,
        *,
        sides: Mapping[Arm, Side],
        duel_id: str,
        only: DocumentFilter = EVERYWHERE,
        chosen: AskOptions = AS_SERVED,
        compares: bool = True,
        group: str = "",
    ) -> AsyncGenerator[Event, None]:
        """Yield the events of a duel. Each answer is in table `answers` before its Done is yielded, so it can be rated.

        The arms of `sides` answer. `query` and `only` are from `parse_query`; `chosen` is within `offer`, and both arms
        get it. A version on trial answers only where the arms are compared, by both answers or by one drawn blind;
        `group` is that of who asks. Use it with contextlib.aclosing: closing it cancels both arms.
        """
        await asyncio.to_thread(self._answerer_of, chosen.llm or self.answerer)  # the first time it is built
        served = self.served if compares else self.promoted
        chains = {arm: self._chain(served(arm, group), only, chosen) for arm in sides}
        timeout = self.settings.answer_timeout
        async with aclosing(run_duel(query, chains, sides=sides, duel_id=duel_id, timeout=timeout)) as events:
            async for event in events:
                yield await self._keep(event) if isinstance(event, Done) else event

    async def try_out(self, query: str, arm: Arm) -> Done | Failed:
        """Return how an arm answers a query from `parse_query`, as `ask` would; it is stored nowhere."""
        chains = {arm: self._chain(self.promoted(arm), EVERYWHERE, AS_SERVED)}
        timeout = self.settings.answer_timeout
        async with aclosing(run_duel(query, chains, sides={arm: "A"}, duel_id="", timeout=timeout)) as events:
            ended = [event async for event in events if isinstance(event, Done | Failed)]
        return ended[-1]

    async def continue_answer(self, cut: CutAnswer) -> AsyncGenerator[Event, None]:
        """Yield the events of an answer that goes on where it was cut; its Done has all of it. Use it as `ask`."""

        def found(query: str) -> list[Hit]:
            return list(cut.hits)

        served = self.served(cut.arm)
        answerer = cut.answerer if cut.answerer in self.offer.llm else self.answerer  # one that is no longer offered
        chain = ArmChain(
            build_chain(found, self._answerer_of(answerer), so_far=cut.text),
            cut.model,
            answerer,
            self._similar(served),
        )
        timeout, sides = self.settings.answer_timeout, {cut.arm: cut.side}
        events = run_duel(cut.query, {cut.arm: chain}, sides=sides, duel_id=cut.duel, timeout=timeout, cut=cut)
        async with aclosing(events):
            async for event in events:
                yield await self._keep(event) if isinstance(event, Done) else event

    async def rewrite(self, query: str, former: Sequence[Turn]) -> RewrittenQuery:
        """Return the standalone query for a question typed after former turns. Never raises."""
        return await self._rewrite(query, former)

    def quote(self, query: str, hits: Sequence[Hit]) -> str | None:
        """Return what is quoted from hits for a query, with citations, "" for nothing; None where an LLM answers."""
        return quote(query, hits, self._score) if self._score else None

    def start(self) -> None:
        """Start what a running chat does in the background: maintenance, and embedding the documents' sentences."""
        self.maintenance.start()
        if home := shared_home(self.settings.home):
            home.start_following()
        if self._sentences:
            threading.Thread(target=self._embed_ahead, args=(self._sentences,), name="sentences", daemon=True).start()

    def follow(self, stop: threading.Event, seconds: float, report: Callable[[str], None]) -> None:
        """Switch to newly promoted models until `stop` is set. A failed check is repeated at the next one."""
        while not stop.wait(seconds):
            try:
                if self.refresh():
                    report(f"Now serving: {', '.join(f'{arm} {self.served(arm).model}' for arm in ARMS)}")
            except Exception:
                log.exception("the models in use could not be checked")

    def count_tokens(self, texts: Sequence[str]) -> list[int]:
        """Return how many tokens texts have: the LLM's, or the tuned model's where no LLM answers."""
        if self._counter:
            return [self._counter(text) for text in texts]
        return self.served("tuned").embedder.count_tokens(list(texts))

    def close(self) -> None:
        """Stop what runs in the background, and close the store after its running writes."""
        self.maintenance.stop()
        if home := shared_home(self.settings.home):
            home.stop_following()
        self.store.close()
        if self._sentences:
            self._sentences.save()

    def _embed_ahead(self, sentences: SentenceVectors) -> None:
        """Embed the sentences of all passages, and again after documents were written; not during other heavy work."""
        done: tuple[int, int] | None = None
        while True:
            time.sleep(AHEAD_SECONDS)
            try:
                table = self.served("base").table
                state = self.store.chunks.versions(table)
                if state == done or self._is_busy():
                    continue
                chunks = self.store.chunks.read(table)[0]
                sentences.warm((text for chunk in chunks for text in scored_texts(chunk)), self._is_busy, time.sleep)
                done = None if self._is_busy() else state
            except ThumbtuneError as error:
                log.warning("the sentences of the documents are not embedded ahead: %s", error)

    def _is_busy(self) -> bool:
        """Return whether a training or an index update runs."""
        training = read_training(self.settings.home)
        return read_indexing(self.settings.home) is not None or (training is not None and training.is_running)

    async def _keep(self, event: Done) -> Event:
        """Store an answer; one that cannot be stored becomes Failed, since it could not be rated."""
        try:
            await asyncio.to_thread(self.store.feedback.add_answer, event.answer)
        except StoreFailed as error:
            message = f"this answer could not be stored, so it cannot be rated: {error}"
            return Failed(event.arm, message, event.answer.hits, event.answer.text)
        return event

    def _chain(self, served: ServedModel, only: DocumentFilter, chosen: AskOptions) -> ArmChain:
        """Return the chain of an arm as it serves; cheap, so it is built per query."""
        # the threshold was fitted on the best cosine of all chunks: with other options it would abstain too often
        options, answerer = chosen_search(self.search_options, chosen), chosen.llm or self.answerer
        below = served.abstain_below if options.is_plain_dense and not only else None

        def find(query: str) -> list[Hit]:
            return self._retrieve(served, query, options, only)

        chain = build_chain(find, self._answerer_of(answerer), below)
        return ArmChain(chain, served.model, answerer, self._similar(served))

    def _similar(self, served: ServedModel) -> Similar:
        """Return how near in meaning texts are to hits, by a model that serves an arm."""

        def similar(texts: list[str], hits: Sequence[Hit]) -> Vectors:
            try:
                chunks = self.store.chunks.vectors(served.table, [hit.chunk.id for hit in hits])
            except KeyError:  # the documents have changed since the hits were found
                chunks = served.embedder.embed_documents([hit.chunk.embedded for hit in hits])
            cosines: Vectors = served.embedder.embed_queries(texts) @ chunks.T
            return cosines

        return similar

    def _answerer_of(self, name: str) -> Answerer:
        """Return what writes the answers under this name: the server's own, or one of THUMBTUNE_LLMS."""
        if name not in self._answerers:
            self._answerers[name] = self._build_answerer(self.settings.model_copy(update={"llm": name}))
        return self._answerers[name]

    def _build_answerer(self, settings: Settings) -> Answerer:
        """Return the LLM, or the extractive answerer with the built-in embedding model as its scorer."""
        if settings.answerer == EXTRACTIVE:
            return build_extractive(self._score or self._build_scorer(), DONT_KNOW)
        counter = self._counter or TokenCounter(settings)
        context, most = settings.context_tokens, settings.llm_max_tokens
        options, own = sampling_options(settings), settings.instructions
        return ask_chat_model(build_chat_model(settings), counter, context, most, options, own)

    def _build_scorer(self) -> Score:
        """Return how a text answers a query by the built-in model; not in bf16 on a CPU, which would need torch."""
        base = self.served("base").embedder
        precision = base.precision if base.reference == BUILTIN else native(self.settings)
        if precision == "bf16" and pick_device(self.settings) == "cpu":
            precision = "fp32"
        is_base = base.reference == BUILTIN and base.precision == precision
        scorer = base if is_base else load_embedder(BUILTIN, self.settings, precision)
        file = self.settings.cache / "sentences" / f"{scorer.fingerprint}.npy"
        embed = self._sentences = SentenceVectors(scorer.embed_documents, file=file)

        def score(query: str, texts: list[str]) -> list[float]:
            (vector,) = scorer.embed_queries([query])
            # einsum, as BLAS starts threads that wait for work
            return [float(value) for value in np.einsum("ij,j->i", embed(texts), vector)]

        return score


def check_query(text: str) -> str:
    """Return a typed text without surrounding whitespace. Raises BadQuery where it is empty or too long."""
    query = text.encode("utf-8", "replace").decode().strip()  # half a surrogate pair, of a cut emoji, becomes "?"
    if not query:
        raise BadQuery(EMPTY)
    if len(query) > MAX_QUERY_CHARS:
        raise BadQuery(f"The question has {len(query):,} characters, the limit is {MAX_QUERY_CHARS:,}: shorten it.")
    return query
