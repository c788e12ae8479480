"""Read the messages of a chat completion: the question, and the earlier turns that it may refer to.

System messages are not used: the prompt is this app's own, the same for both arms, or a rating would judge the prompt.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, Literal

from pydantic import Field

from rag.answering.query_rewrite import RewrittenQuery, Turn
from rag.answering.service import QueryService
from rag.settings import EXTRACTIVE
from serve.bodies import Sent
from serve.errors import BAD, ApiError

MOST_MESSAGES = 2_000
FOLDED = 20  # earlier questions that are read for what the last one refers to
TASK = "### Task:"  # how Open WebUI begins its own requests for titles and tags, and questions about attached files


class Part(Sent, extra="allow"):
    """A part of a message's content."""

    type: str
    text: str = ""


class Message(Sent, extra="allow"):
    """A message. Other fields, such as a name or tool calls, are not used."""

    role: Literal["system", "developer", "user", "assistant", "tool", "function"]
    content: str | list[Part] | None = None

    @property
    def text(self) -> str:
        """Return its text. Raises ApiError where a question has anything else."""
        if isinstance(self.content, list):
            other = [part.type for part in self.content if part.type not in ("text", "input_text", "output_text")]
            if other and self.role == "user":
                raise ApiError(
                    BAD, f"messages: {other[0][:40]!r} is not understood: only text is.", "unsupported_content"
                )
            return "\n".join(part.text for part in self.content)
        return self.content or ""


Messages = Annotated[list[Message], Field(min_length=1, max_length=MOST_MESSAGES)]


@dataclass(frozen=True, slots=True)
class Conversation:
    """What is asked, and the turns before it, oldest first: question and answer."""

    question: str
    former: tuple[Turn, ...]

    @property
    def key(self) -> list[Any]:
        """Return what is the same if the same turn is asked for again."""
        return [self.question, *map(list, self.former)]


def read_messages(messages: Sequence[Message]) -> Conversation:
    """Return the conversation. Raises ApiError if its last message is not a user's, or is a task of a front end."""
    spoken = [message for message in messages if message.role in ("user", "assistant")]
    if not spoken or spoken[-1].role != "user":
        raise ApiError(BAD, "The last message must be a user's: it is the question.", "invalid_messages", "messages")
    question = spoken[-1].text
    if question.lstrip().startswith(TASK):
        raise ApiError(
            BAD,
            "This model answers questions about its own documents. It does no tasks such as titles or tags (choose "
            "another task model in Open WebUI, Settings, Interface) and reads no files that are attached to a chat.",
            "unsupported_task",
            "messages",
        )
    return Conversation(question, tuple(_turns(spoken[:-1])))


def _turns(spoken: Sequence[Message]) -> list[Turn]:
    """Return each user's message with the assistant's that follow it."""
    turns: list[Turn] = []
    for message in spoken:
        if message.role == "user":
            turns.append((message.text, ""))
        elif turns:
            asked, answer = turns[-1]
            turns[-1] = asked, f"{answer}\n{message.text}".strip()
    return turns


async def standalone(serving: QueryService, question: str, former: Sequence[Turn]) -> RewrittenQuery:
    """Return the query of a question that may refer to earlier ones, as the chat does.

    The chat knows by which query it searched for each earlier question. A client sends only what was typed, so without
    an LLM each earlier question is carried over again; an LLM reads the turns themselves.
    """
    turns = list(former)[-FOLDED:]
    if serving.answerer == EXTRACTIVE:
        carried: list[Turn] = []
        for asked, answer in turns:
            carried.append(((await serving.rewrite(asked, carried)).query, answer))
        turns = carried
    return await serving.rewrite(question, turns)
