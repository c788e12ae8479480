"""How often the extractive answerer is right, and what follow-up questions retrieve without an LLM."""
