"""Keep a home folder whole: find damage, repair it, back it up, restore it, take a person's data out.

damage       what is damaged in a home folder, why, and what to do
repair       repair what can be repaired; damaged files are moved aside, never deleted
threads      check and salvage chat.db
doctor       print what is damaged or repaired, and what a question needs
"""
