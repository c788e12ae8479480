"""python -m train compare, of answers: two prompts, two language models, other numbers of passages."""

from __future__ import annotations

import re
from dataclasses import replace
from http.server import BaseHTTPRequestHandler

import numpy as np
import pytest

from fakes import endpoint, make_answer, make_hits, stream
from rag.answering.duel import Done, Failed
from rag.answering.evidence.refusals import DONT_KNOW
from rag.answering.service import QueryService
from train.__main__ import main
from train.compare_answers import DECLINED, FAILED, MISSED, RIGHT, SECONDS, WORDS, measure

PASSAGE = re.compile(r'n="1" from="[^"]*">\n(.*?)\n</passage', re.DOTALL)


def obedient(handler: BaseHTTPRequestHandler, body: dict[str, object]) -> None:
    """Repeat the first passage and cite it where the prompt asks for that, else know nothing."""
    system, user = (str(message["content"]) for message in body["messages"])  # type: ignore[attr-defined]
    found = PASSAGE.search(user)
    said = f"{found[1]} [1]." if "Repeat the first passage" in system and found else DONT_KNOW
    stream(said)(handler, body)


def test_two_prompts_are_compared_by_the_passages_their_answers_rest_on(use, capsys, monkeypatch) -> None:
    use("labelled")
    plain, obeyed = "base,search=hybrid", "base,search=hybrid,instructions=Repeat the first passage."
    with endpoint(obedient) as (url, requests):
        monkeypatch.setenv("OPENAI_BASE_URL", url)
        monkeypatch.setenv("THUMBTUNE_LLM", "openai:small")
        assert main(["compare", obeyed, plain, "--most", "30"]) == 0
    out = capsys.readouterr().out.splitlines()
    assert out[0] == (
        f"answers of {obeyed} against {plain}: 80 rated queries, since neither model was trained on ratings, "
        "30 of them asked"
    )
    rows = {line.split("  ")[0]: line for line in out if "%" in line}
    assert rows[DECLINED].split()[1:] == ["0%", "100%", "-1.00", "[-1.00,", "-1.00]"]
    assert rows[RIGHT].split()[-4] == "0%"
    assert out[-1].startswith(f"{obeyed} is better than {plain}, statistically significant: {RIGHT} +")
    assert len(requests) == 60


def test_answers_that_are_tried_out_are_stored_nowhere(use, capsys) -> None:
    from contextlib import closing

    from rag.store.store import open_store

    settings = use("labelled")
    assert main(["compare", "base,k=2", "base,k=3", "--most", "20"]) == 0
    assert "median" in capsys.readouterr().out
    with closing(open_store(settings.lancedb)) as store:
        assert not store.feedback.answers()


@pytest.mark.parametrize(
    ("side", "message"),
    [
        ("llm=extractive,chunk_tokens=64", "error: 'llm=extractive,chunk_tokens=64': chunk_tokens changes the chunks"),
        ("start weights,k=3", "error: 'start weights,k=3': start weights serves no arm"),
        ("llm=openai", "error: THUMBTUNE_LLM='openai': give openai:NAME"),
        ("instructions=file:none.txt", "error: THUMBTUNE_INSTRUCTIONS='file:none.txt': none.txt cannot be read"),
    ],
)
def test_answers_that_cannot_be_compared_are_one_line_before_any_question(
    use, monkeypatch: pytest.MonkeyPatch, capsys, side: str, message: str
) -> None:
    use("labelled")
    monkeypatch.delattr(QueryService, "try_out")
    assert main(["compare", "base", side]) == 2
    assert capsys.readouterr().err.startswith(message)


def test_what_an_answer_is_worth() -> None:
    hits = make_hits("cats drink milk", "dogs eat bones")
    right = frozenset({hits[0].chunk.id})
    good, wrong = (make_answer(hits, cited=(n,)) for n in (1, 2))
    refused = replace(good, text=DONT_KNOW, cited=(), abstained=True)
    assert measure(Done("base", good), right) == {
        RIGHT: 1, DECLINED: 0, MISSED: 0, FAILED: 0, WORDS: 4, SECONDS: 0.2
    }  # fmt: skip
    assert measure(Done("base", wrong), right)[RIGHT] == 0
    missed = measure(Done("base", refused), right)
    assert (missed[RIGHT], missed[DECLINED], missed[MISSED]) == (0, 1, 1)
    assert measure(Done("base", refused), frozenset({"elsewhere"}))[MISSED] == 0
    failed = measure(Failed("base", "no", (), ""), right)
    assert failed[FAILED] == 1
    assert np.isnan(failed[WORDS])
