"""A corpus that is mostly not English is named once, with what helps."""

from __future__ import annotations

import pytest

from rag.answering.service import open_service
from rag.indexing.indexer import index
from rag.indexing.language_note import guess_language, note_on
from rag.indexing.maintenance import Maintenance
from rag.settings import Settings

EN = "The cat drinks the milk at night, and it is not the only one that was seen with a bowl of it."
DE = "Die Katze trinkt nachts die Milch, und sie ist nicht die einzige, die mit einer Schale von der Milch lebt."
TEXTS = {
    "English": EN,
    "German": DE,
    "Spanish": "El gato bebe la leche por la noche y no es el único que se acerca al cuenco con los otros.",
    "French": "Le chat boit le lait dans la nuit et ce ne sont pas les seuls qui vont sur la table pour le pain.",
    "Chinese or Japanese": "猫在晚上喝牛奶。" * 6,
    "Arabic script": "القط يشرب الحليب في الليل وليس هو الوحيد الذي يفعل ذلك في هذا البيت.",
    "a Cyrillic script": "Кошка пьёт молоко ночью, и она не единственная, кто это делает в доме.",
    "": "x = 1; y = 2; z = foo(bar)",
}


@pytest.mark.parametrize(("language", "text"), TEXTS.items())
def test_a_language_is_guessed_by_script_and_stop_words(language: str, text: str) -> None:
    assert guess_language(text) == language


def test_a_note_names_the_language_and_what_helps_where_most_documents_are_not_english() -> None:
    note = note_on([DE, DE, EN, "x = 1"])
    assert note.startswith("2 of 3 documents that were looked at are not in English (most: German)")
    assert "for 97% in English and 69% in German; with hybrid search for 98% in English and 89% in German." in note
    assert "What helps: THUMBTUNE_SEARCH=hybrid, a multilingual model" in note


def test_a_note_recommends_nothing_that_is_set_and_gives_the_figures_of_the_language() -> None:
    note = note_on([TEXTS["Chinese or Japanese"]], is_hybrid=True)
    assert "together finds the correct passage among five for 98% in English and 93% in Chinese." in note
    assert "hybrid" not in note
    assert "97% in English, 69% in German and 36% in Chinese; with" in note_on([TEXTS["French"]])


@pytest.mark.parametrize("texts", [[], [EN], [EN, DE], ["x = 1"]])
def test_there_is_no_note_where_half_of_the_documents_are_english_or_none_can_be_told(texts: list[str]) -> None:
    assert note_on(texts) == ""


def test_maintenance_notes_the_language_of_indexed_documents_when_it_checks(settings: Settings) -> None:
    german = "Die Bibliothek ist am Montag geschlossen, und der Ausweis ist nicht mit dem Buch von der Stadt."
    for path in settings.docs[0].iterdir():
        path.write_text(german)
    index(settings)
    serving = open_service(settings)
    assert not [note for note in serving.notes() if "not in English" in note]  # the tiny model is not the built-in one
    builtin = settings.model_copy(update={"base_model": "builtin"})
    maintenance = Maintenance(builtin, serving.store, serving.arms)
    maintenance.start()
    maintenance.check()
    assert [note for note in maintenance.notes() if "are not in English (most: German)" in note]
    maintenance.stop()
    serving.close()
