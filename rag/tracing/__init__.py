"""Seen from outside, off unless a setting says otherwise: spans for OpenTelemetry, votes as scores in traces.

spans    spans of our own: retrieve, answer, rate, train
scores   votes on answers as scores in the traces of LangSmith or Langfuse
"""
