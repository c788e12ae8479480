"""What counts as lost and invented in benchmarks.loaders."""

from __future__ import annotations

from collections import Counter

from benchmarks.loaders.words import compare, has_true_letters


def test_words_that_are_missing_and_words_that_no_reader_has_are_counted() -> None:
    found = compare("one two six", ["one two three", "one three five"])
    assert (list(found.lost), list(found.invented)) == (["three"], ["six"])


def test_a_digit_that_runs_into_a_number_is_invented() -> None:
    found = compare("400.013 pieces", ["400.01 3 pieces"])
    assert (list(found.lost), list(found.invented)) == (["01", "3"], ["013"])


def test_a_raised_digit_a_divided_word_and_a_word_printed_twice_are_explained() -> None:
    found = compare("Foroutan^1 information The", ["foroutan1 infor mation TThhee"])
    assert not found.lost
    assert not found.invented
    assert found.explained == {"joined": 3, "raised": 3, "twice": 2}


def test_a_word_that_we_divide_is_invented() -> None:
    assert list(compare("ver batim", ["verbatim"]).invented) == ["ver", "batim"]


def test_a_raised_digit_that_the_other_reader_lacks_is_still_invented() -> None:
    assert list(compare("city^2", ["city"]).invented) == ["2"]


def test_a_text_in_letters_of_two_scripts_a_word_is_not_true() -> None:
    assert has_true_letters("The harbour opens at 7, die Straße is long, ξ and Δt.")
    assert not has_true_letters("ιͻȍǥ ab\u0441\u0434 harbour")


def test_what_a_block_is_called_is_no_word_of_the_file() -> None:
    ours = "# Slide 2: Boats\n\nComment by Ann Lee on B2: Late\n\nPage footer of even pages: Pier\n\nNotes: Wait"
    found = compare(ours, ["Boats Late Pier Wait"])
    assert (found.lost.total(), found.invented.total(), found.read) == (0, 0, 4)


def test_two_of_three_readers_decide_which_words_are_lost() -> None:
    found = compare("one two", ["one two three f our fi ve"], third="one two three fo ur")
    assert (found.lost, found.alone) == (Counter(["three"]), Counter(["f", "our", "fi", "ve"]))


def test_an_accent_of_its_own_and_a_raised_digit_before_a_letter_are_no_other_words() -> None:
    found = compare("naïve x^0y t1", ["na\u0131\u0308ve x 0 y tt1"])
    assert (found.lost.total(), found.invented.total()) == (0, 0)
    assert list(compare("x^7y", ["x y"]).invented) == ["7y"]
