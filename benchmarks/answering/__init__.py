"""How often the extractive answerer is right."""
