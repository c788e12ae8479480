"""Which encodings of short texts are guessed right, and the table of letter pairs that the guess rests on.

texts         sentences in 40 languages, from translations of Django and GNOME's help, and their encodings
letter_pairs  counts letters and their pairs -> rag/loaders/letter_pairs.txt
"""
