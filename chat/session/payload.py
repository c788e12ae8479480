"""Validate what a browser sends with an action: the base model, and the field types that several actions share.

Why: pydantic's strict mode still reads `true` and `1.0` as the literal 1, and accepts half a surrogate pair, which no
table can store; `Value` and `Text` refuse them.
"""

from __future__ import annotations

import reprlib
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError

from rag.errors import BadRating, ThumbtuneError
from rag.records import Label

MAX_ID = 200  # characters; ours are 16 hex digits
MAX_RANK = 1_000  # more passages than any answer has
MAX_SHOWN = 40  # characters of a value that is refused
RELOAD = "reload the page and try again"


class Payload(BaseModel):
    """Fields of one action. Unknown fields are ignored: a page that was loaded before an update may send more."""

    model_config = ConfigDict(frozen=True, strict=True, extra="ignore")
    error: ClassVar[type[ThumbtuneError]] = BadRating

    @classmethod
    def read(cls, sent: object) -> Self:
        """Return the validated payload. Raises `error` with one line that names the first field that is wrong."""
        try:
            return cls.model_validate(sent)
        except ValidationError as error:
            raise cls.error(_reason(error)) from None


def _reason(error: ValidationError) -> str:
    """Return what is wrong with the first bad field, and the next step."""
    first = error.errors(include_url=False)[0]
    field, value = ".".join(map(str, first["loc"])) or "the payload", first["input"]
    if first["type"] == "missing":
        return f"{field} is missing: {RELOAD}"
    if first["type"] in ("string_too_long", "too_long"):
        return f"{field} has {len(value):,} characters, at most {first['ctx']['max_length']:,} are allowed: shorten it"
    why = "an object is needed" if first["type"] == "model_type" else first["msg"].removeprefix("Value error, ")
    return f"{field} is {reprlib.repr(value)[:MAX_SHOWN]}, which is not valid ({why}): {RELOAD}"


def _whole_number(value: object) -> object:
    if type(value) is not int:
        raise ValueError("not a whole number")
    return value


def _encodable(text: str) -> str:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise ValueError("half a surrogate pair is not a character") from None
    return text


Text = Annotated[str, AfterValidator(_encodable)]
Id = Annotated[Text, Field(max_length=MAX_ID)]
Rank = Annotated[int, Field(ge=1, le=MAX_RANK)]
Value = Annotated[Label, BeforeValidator(_whole_number)]  # 1 good, -1 bad, 0 withdrawn
Taught = Annotated[Literal[0, 1], BeforeValidator(_whole_number)]  # 1 this passage answers, 0 withdrawn
