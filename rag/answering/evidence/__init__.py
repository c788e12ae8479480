"""Evidence of an answer: citations, attribution, refusals.

citations    read citations in every form that models write, and write them in one
attribution  find the passage that an uncited statement was drawn from; unsupported citations
refusals     recognise an abstention in whatever words
cleaning     clean what a model wrote: template tokens, fence marks, dead links; loops
growing      clean an answer while it is written, each part of it once
words        words of a text, without endings, for comparing
"""
