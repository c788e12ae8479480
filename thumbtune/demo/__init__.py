"""`thumbtune demo`: a home folder about these pages in which a tuned version serves already, measured as it is made.

seeding    make the home: index with shipped vectors, add and promote the shipped query adapter
measuring  measure both models on questions that the adapter has never seen, and say it in words
"""
