"""Spans of our own for OpenTelemetry: retrieve, answer, rate, train. Off unless THUMBTUNE_SPANS is on or text.

Attributes name the arm, the version and the duel. A text is among them only where the setting is `text`, and the
message of an error never is. OpenTelemetry is imported here when spans are switched on, and not before.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import TYPE_CHECKING

from rag.errors import BadSetting

if TYPE_CHECKING:
    from opentelemetry.trace import Span, Tracer

    from rag.settings import Settings

SERVICE = "thumbtune"
Value = str | bool | int | float


@dataclass
class _Switch:
    """The tracer of this process, None while spans are off."""

    tracer: Tracer | None = None
    with_text: bool = False


_switch = _Switch()
_trace_id: ContextVar[int] = ContextVar("trace_id", default=0)  # of a span that begins a trace; 0: any


class Record:
    """What is noted on a span; does nothing while spans are off."""

    def __init__(self, span: Span | None = None) -> None:
        self._span = span

    def add(self, **known: Value) -> None:
        """Set attributes."""
        if self._span:
            self._span.set_attributes(_named(known))

    def texts(self, **texts: str) -> None:
        """Set attributes that are people's or documents' words, where the setting asks for them."""
        if self._span and _switch.with_text:
            self._span.set_attributes(_named(texts))

    def failed(self, error: BaseException) -> None:
        """Mark the span as failed, by the kind of error: its message may quote a text."""
        if self._span:
            from opentelemetry.trace import Status, StatusCode

            self._span.set_attribute("error.type", type(error).__name__)
            self._span.set_status(Status(StatusCode.ERROR))


@contextmanager
def span(name: str, trace_id: int = 0, **known: Value) -> Iterator[Record]:
    """Yield the record of a new span `thumbtune.NAME`; spans that are begun meanwhile are its children.

    `trace_id` is the id of the trace that it begins, where it is in none and the tracer provider is ours.
    """
    if _switch.tracer is None:
        yield Record()
        return
    from opentelemetry.trace import use_span

    token = _trace_id.set(trace_id)
    try:
        begun = _switch.tracer.start_span(f"{SERVICE}.{name}", attributes=_named(known))
    finally:
        _trace_id.reset(token)
    with use_span(begun, end_on_exit=True, record_exception=False, set_status_on_exception=False):
        record = Record(begun)
        try:
            yield record
        except BaseException as error:
            record.failed(error)
            raise


def start_spans(settings: Settings) -> None:
    """Switch spans on for this process, as THUMBTUNE_SPANS says. Raises BadSetting without OpenTelemetry.

    A tracer provider that is there already is used, as `opentelemetry-instrument` makes one; else spans go by OTLP over
    HTTP to where OTEL_EXPORTER_OTLP_ENDPOINT says.
    """
    if settings.spans == "off" or _switch.tracer:
        return
    try:
        from opentelemetry import trace

        if isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
            _provide()
    except ImportError as error:
        raise BadSetting(
            f"THUMBTUNE_SPANS={settings.spans}: {error.name} is missing: pip install 'thumbtune[otel]'"
        ) from error
    _switch.tracer, _switch.with_text = trace.get_tracer(SERVICE), settings.spans == "text"


def stop_spans() -> None:
    """Send what is left, and switch spans off."""
    if _switch.tracer:
        from opentelemetry import trace

        flush = getattr(trace.get_tracer_provider(), "force_flush", None)
        if flush:
            flush()
    _switch.tracer = None


def _provide() -> None:
    """Set a tracer provider that sends by OTLP over HTTP; it sends what is left when the process ends."""
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import SERVICE_NAME, Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor
    from opentelemetry.sdk.trace.id_generator import RandomIdGenerator

    class Ids(RandomIdGenerator):
        def generate_trace_id(self) -> int:
            return _trace_id.get() or super().generate_trace_id()

    named = {} if os.environ.get("OTEL_SERVICE_NAME") else {SERVICE_NAME: SERVICE}
    provider = TracerProvider(id_generator=Ids(), resource=Resource.create(named))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)


def _named(known: Mapping[str, Value]) -> dict[str, Value]:
    return {f"{SERVICE}.{name}": value for name, value in known.items()}
