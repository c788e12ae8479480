"""Synthetic queries: from the documents, or by an LLM.

from_documents   queries from a question file, headings, definitions and inverse cloze
spans            queries without a known answer: sentences, and pieces of a few words
question_filter  the prompt for LLM questions, and which ones to keep
llm_questions    ask an LLM for questions, with a journal so that an interrupted run resumes
"""
