"""How often the extractive answerer is right, what sentences rest on, and what follow-ups retrieve without an LLM."""
