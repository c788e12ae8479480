"""One frozen Settings, read once from the environment and `.env`. Nothing else in the code reads the environment.

Names: `THUMBTUNE_` and the field in capitals; the two OpenAI names are the ones everybody already has.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AliasChoices, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from rag.errors import BadSetting
from rag.home_address import address_of, cache_of, is_address

ROOT = Path(__file__).resolve().parent.parent  # where the documents that ship with the app lie
EXTRACTIVE = "extractive"
GGUF = "gguf:"  # before the file of a local language model
MAX_INSTRUCTIONS = 4000  # characters: a thousand tokens that every prompt has
DEFAULT_LLM = "openai:gpt-4.1-mini"
Search = Literal["dense", "hybrid"]
PrecisionSet = Literal["auto", "fp32", "bf16", "int8"]


class Settings(BaseSettings):
    """Every setting of the product, with its default and its reason. Mirrored, in words, by `.env.example`."""

    model_config = SettingsConfigDict(
        env_prefix="THUMBTUNE_", env_file=".env", env_ignore_empty=True, extra="ignore", frozen=True
    )

    # where things are
    home: Path = Field(
        Path("data"), description="the one folder for all state, or its address on object storage: s3://BUCKET/PATH"
    )
    docs: Annotated[tuple[Path, ...], NoDecode] = Field(
        (ROOT / "docs",), description="documents folder, or several joined by the system's path separator (: or ;)"
    )
    history: SecretStr | None = Field(
        None,
        description="Postgres database of the chats, as postgresql://USER:PASSWORD@HOST/DATABASE; empty: a file",
    )

    follow_links: bool = Field(False, description="yes: also read what links in a documents folder lead to elsewhere")
    private_addresses: bool = Field(
        False, description="yes: lists of web pages may name addresses that only this machine or its network reaches"
    )

    # retrieval
    base_model: str = Field("builtin", description="model of the base arm: builtin, a folder, a hub name, openai:NAME")
    start_model: str = Field("builtin", description="model that fine-tuning starts from; not openai:")
    chunk_tokens: int = Field(128, ge=16, le=8192, description="longest chunk, in tokens of the start model")
    k: int = Field(5, ge=1, le=50, description="hits per arm that an answer is written from")
    explore: int = Field(
        1,
        ge=0,
        validate_default=True,
        description="how many of the k may be hits that words found and embeddings did not",
    )

    search: Search = Field("dense", description="dense: ranked by embeddings; hybrid: by embeddings and words alike")
    rerank: str = Field("", description="cross-encoder that reorders what was found: a folder, a hub name; empty: none")
    mmr: float = Field(
        1.0, gt=0, le=1, description="how much relevance counts against showing near-duplicates; 1: it alone counts"
    )

    # answers
    llm: str = Field(
        "", description=f"{EXTRACTIVE}, openai:NAME or gguf:PATH; empty: chosen by whether a key or base URL is set"
    )
    llms: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description=f"further LLMs to choose in the chat: {EXTRACTIVE} or openai:NAME, separated by commas",
    )
    openai_api_key: SecretStr | None = Field(
        None, validation_alias=AliasChoices("OPENAI_API_KEY"), description="key of the endpoint"
    )
    openai_base_url: str | None = Field(
        None, validation_alias=AliasChoices("OPENAI_BASE_URL"), description="any OpenAI-compatible endpoint"
    )
    llm_timeout: float = Field(60.0, gt=0, description="seconds without a token after which an LLM's answer fails")
    llm_retries: int = Field(2, ge=0, le=10, description="tries after a refused connection or a 5xx, before any token")
    context_tokens: int = Field(3000, ge=200, description="most tokens of passages that an LLM is shown")
    llm_max_tokens: int = Field(1024, ge=64, le=100_000, description="most tokens that an LLM may write of one reply")
    llm_temperature: float | None = Field(
        0.2,
        ge=0,
        le=2,
        validate_default=True,
        description="how freely an LLM chooses its words; default: the endpoint's",
    )
    llm_stop: Annotated[tuple[str, ...], NoDecode] = Field(
        (), max_length=4, description="texts at which an LLM's answer ends, at most 4, separated by commas"
    )
    instructions: str = Field(
        "", description="what an LLM's answers should keep to besides the rules they have: a text, or file:PATH"
    )
    answer_timeout: float = Field(180.0, gt=0, description="seconds after which an arm is cut off, whatever it does")

    # the machine
    device: str = Field("auto", description="auto, cpu, cuda, cuda:1, mps")
    precision: PrecisionSet = Field(
        "auto", description="numbers that vectors are computed in: auto (measured), fp32, bf16, int8 (CPU only)"
    )
    train_threads: int = Field(
        max(1, (os.cpu_count() or 2) - 1), ge=1, description="CPU threads of training; one core stays with the chat"
    )
    host: str = Field("localhost", description="address the chat listens on")
    port: int = Field(8000, ge=1, le=65535, description="port the chat listens on")
    hosts: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        description="names the chat is served under besides localhost, separated by commas; others are refused",
    )
    public_url: str = Field(
        "", validation_alias=AliasChoices("CHAINLIT_URL"), description="address that people type, behind a proxy"
    )

    # who may come in: everybody who reaches the page, or what one of the next three says
    open: bool = Field(False, description="yes: also on a network everybody may come in, without any sign-in")
    passwords: Path | None = Field(None, description="file of lines name:hash; people sign in by name and password")
    oauth_allow: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="who may sign in by OAuth: names or @domains, separated by commas; * for everybody"
    )
    trusted_header: str = Field("", description="request header in which a reverse proxy names who has signed in there")
    trusted_proxies: Annotated[tuple[str, ...], NoDecode] = Field(
        (), description="addresses or networks of that proxy, separated by commas; empty: this machine"
    )

    # which programs may ask the server for other programs: see serve.keys, whose file is the other way
    api_keys: SecretStr | None = Field(
        None, description="keys of programs that may ask, as NAME:KEY, separated by commas"
    )

    # seen from outside: see rag.tracing
    spans: Literal["off", "on", "text"] = Field(
        "off",
        description="OpenTelemetry spans of answers, searches, ratings, trainings: off, on, or text with texts",
    )
    scores: Literal["off", "langsmith", "langfuse"] = Field(
        "off", description="where votes go as scores of LangChain's traces: off, langsmith or langfuse"
    )

    # who may change what everybody gets: see rag.roles
    admins: Annotated[tuple[str, ...], NoDecode] = Field(
        (),
        validation_alias=AliasChoices("THUMBTUNE_ADMINS", "THUMBTUNE_TRAINERS"),  # the second is its name of before
        description="who may upload and remove documents, train and promote: names, separated by commas",
    )

    @field_validator("docs", mode="before")
    @classmethod
    def _split_docs(cls, value: Any) -> Any:  # noqa: ANN401  # pydantic hands over whatever was given
        if isinstance(value, str):
            return tuple(Path(part) for part in value.split(os.pathsep) if part)
        return value

    @field_validator("llms", "llm_stop", "hosts", "oauth_allow", "trusted_proxies", "admins", mode="before")
    @classmethod
    def _split_commas(cls, value: Any) -> Any:  # noqa: ANN401  # pydantic hands over whatever was given
        return tuple(part.strip() for part in value.split(",") if part.strip()) if isinstance(value, str) else value

    @field_validator("llm_temperature", mode="before")
    @classmethod
    def _leave_to_endpoint(cls, value: Any) -> Any:  # noqa: ANN401  # as above
        return None if value == "default" else value

    @field_validator("home", mode="before")
    @classmethod
    def _home_at_address(cls, value: Any) -> Any:  # noqa: ANN401  # as above
        """Return the local folder that a home on object storage is cached in."""
        return cache_of(value) if isinstance(value, str) and is_address(value) else value

    @field_validator("home", "docs", "passwords", mode="after")
    @classmethod
    def _resolve(cls, value: Path | tuple[Path, ...] | None) -> Path | tuple[Path, ...] | None:
        if value is None:
            return None
        if isinstance(value, Path):
            return value.expanduser().resolve()
        return tuple(path.expanduser().resolve() for path in value)

    @field_validator("explore", mode="after")
    @classmethod
    def _leaves_room(cls, value: int, info: ValidationInfo) -> int:
        k = info.data.get("k")  # none where k itself is wrong, which is then the message
        if k is not None and value >= k:
            raise ValueError(
                f"must be below THUMBTUNE_K={k}, else both arms show the same: lower it (0: none), or raise THUMBTUNE_K"
            )
        return value

    @field_validator("start_model", mode="after")
    @classmethod
    def _can_be_tuned(cls, value: str) -> str:
        if value.startswith("openai:"):
            raise ValueError("fine-tuning needs weights: name builtin, a folder or a sentence-transformers model")
        return value

    @field_validator("llm", mode="after")
    @classmethod
    def _known_llm(cls, value: str) -> str:
        kind, _, name = value.partition(":")
        if value and value != EXTRACTIVE and not (kind in ("openai", "gguf") and name):
            raise ValueError(f"give openai:NAME, {GGUF}PATH or {EXTRACTIVE}")
        return value

    @field_validator("instructions", mode="after")
    @classmethod
    def _read_instructions(cls, value: str) -> str:
        kind, _, name = value.partition(":")
        try:
            text = Path(name).expanduser().read_text("utf-8") if kind == "file" else value
        except (OSError, UnicodeDecodeError) as error:
            raise ValueError(f"{name} cannot be read ({error}): give a text file in UTF-8") from None
        if len(text) > MAX_INSTRUCTIONS:
            raise ValueError(f"{len(text):,} characters, and at most {MAX_INSTRUCTIONS:,} are taken: shorten it")
        return text.strip()

    @field_validator("llms", mode="after")
    @classmethod
    def _known_llms(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for name in value:
            if name != EXTRACTIVE and not (name.startswith("openai:") and name.removeprefix("openai:")):
                raise ValueError(f"{name!r} cannot be chosen in the chat: give openai:NAME or {EXTRACTIVE}")
        return value

    @property
    def answerer(self) -> str:
        """Return which answerer serves: the one named, else an LLM if a key or base URL is set, else extractive.

        Of a local model it is the file's name: people see it next to each answer, and the folder is nobody's business.
        """
        if self.is_local_llm:
            return f"{GGUF}{self.llm.removeprefix(GGUF).rpartition('/')[2]}"
        if self.llm:
            return self.llm
        return DEFAULT_LLM if self.openai_api_key or self.openai_base_url else EXTRACTIVE

    @property
    def is_local_llm(self) -> bool:
        """Return whether answers are written by a GGUF model in this process."""
        return self.llm.startswith(GGUF)

    @property
    def home_name(self) -> str:
        """Return what people call the home: its folder, or its address on object storage."""
        return address_of(self.home) or str(self.home)

    @property
    def lancedb(self) -> Path:
        """Return the folder of all tables."""
        return self.home / "lancedb"

    @property
    def models(self) -> Path:
        """Return the folder of trained versions and of registry.json."""
        return self.home / "models"

    @property
    def runs(self) -> Path:
        """Return the folder of training reports."""
        return self.home / "runs"

    @property
    def chat_db(self) -> Path:
        """Return the SQLite file of the chat's threads, where `history` names no Postgres database."""
        return self.home / "chat.db"

    @property
    def uploads(self) -> Path:
        """Return the folder of files that were dropped into the chat, in one folder for each documents folder."""
        return self.home / "uploads"

    @property
    def cache(self) -> Path:
        """Return the folder of what can be made or fetched again."""
        return self.home / "cache"

    @property
    def secret(self) -> Path:
        """Return the file of the key that signs cookies."""
        return self.home / "secret"


def load_settings(**overrides: object) -> Settings:
    """Return the settings of this process, or raise BadSetting with name, value and reason in one line."""
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]  # pydantic checks them
    except ValidationError as error:
        first = error.errors()[0]
        name = str(first["loc"][0])
        shown = name if name.isupper() else f"THUMBTUNE_{name.upper()}"
        reason = str(first["msg"]).removeprefix("Value error, ")
        more = f" ({error.error_count() - 1} more)" if error.error_count() > 1 else ""
        raise BadSetting(f"{shown}={first['input']!r}: {reason}{more}; see .env.example") from None
    has_endpoint = bool(settings.openai_api_key or settings.openai_base_url)
    remote = settings.answerer != EXTRACTIVE and not settings.is_local_llm
    if not has_endpoint and any(name != EXTRACTIVE for name in settings.llms):
        need = "set OPENAI_API_KEY, or OPENAI_BASE_URL where no key is needed"
        raise BadSetting(f"THUMBTUNE_LLMS={','.join(settings.llms)!r}: {need}; see .env.example")
    if remote and not has_endpoint:
        need = "set OPENAI_API_KEY, or OPENAI_BASE_URL where no key is needed, or use extractive"
        raise BadSetting(f"THUMBTUNE_LLM={settings.answerer!r}: {need}; see .env.example")
    return settings
