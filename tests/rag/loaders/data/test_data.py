"""Data, notebooks and subtitles: readable lines under their keys, nothing expanded, nothing lost."""

from __future__ import annotations

import json

import pytest

from rag.errors import Unreadable
from rag.loaders.data import json_yaml, xml
from rag.loaders.data.json_yaml import load_json, load_jsonl, load_yaml
from rag.loaders.data.notebook import MAX_OUTPUT_LINES, load_ipynb
from rag.loaders.data.subtitles import load_subtitles
from rag.loaders.data.xml import load_xml


def test_json_is_read_as_lines_under_its_keys() -> None:
    data = {"title": "Pool", "open": True, "hours": {"mon": "7-21", "tue": None}, "rules": ["no running", "shower"]}
    data["contact"] = {"person": {"name": "Ann", "phone": ["1", "2"]}, "room": "B2"}
    loaded = load_json(json.dumps(data).encode())
    assert loaded.title == "Pool"
    assert loaded.text.startswith("title: Pool\nopen: true\nhours: mon 7-21\nrules: no running, shower\n\n# contact\n")
    assert "room: B2" in loaded.text
    assert "person: name Ann" in loaded.text or "## person" in loaded.text


def test_an_array_of_objects_is_a_table_with_its_columns() -> None:
    rows = [{"city": "Berlin", "cost": 100}, {"city": "Rome", "cost": 300}]
    assert "| Rome | 300 |" in load_json(json.dumps(rows).encode()).text
    many = load_jsonl("\n".join(json.dumps({"city": f"c{n}", "cost": n}) for n in range(100)).encode())
    assert "city: c99 | cost: 99" in many.text


def test_long_texts_are_paragraphs_under_the_name_of_their_entry() -> None:
    articles = [{"title": f"Article {n}", "body": f"Sentence {n}. " * 40} for n in range(2)]
    loaded = load_json(json.dumps(articles).encode())
    assert [section.heading for section in loaded.sections] == ["Article 0", "Article 1"]
    assert "Sentence 1. Sentence 1." in loaded.text


def test_every_value_of_json_is_in_the_text() -> None:
    value = {f"k{n}": {"a": [n, {"b": [[f"deep{n}"], {"c": f"x{n}"}]}]} for n in range(20)}
    text = load_json(json.dumps(value).encode()).text
    assert all(f"deep{n}" in text and f"x{n}" in text for n in range(20))


def test_json_with_comments_is_read_as_text_and_noted() -> None:
    loaded = load_json(b'{\n  // the port\n  "port": 80,\n}\n')
    assert "// the port" in loaded.text
    assert loaded.note == "it is not valid JSON: read as text"


def test_lines_that_are_no_json_are_counted() -> None:
    assert load_jsonl(b'{"a": 1}\n{"a": \n{"a": 3}\n').lost == "1 of its lines are not valid JSON"


def test_a_file_of_labels_is_never_indexed() -> None:
    with pytest.raises(Unreadable, match="labels"):
        load_jsonl(b'{"query": "when", "text": "At nine.", "label": 1}\n')


def test_deep_json_and_big_json_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreadable, match="nested too deeply"):
        load_json(b"[" * 100_000 + b"]" * 100_000)
    assert "7" in load_json(b"[" * 200 + b"7" + b"]" * 200).text
    monkeypatch.setattr(json_yaml, "MAX_VALUES", 10)
    with pytest.raises(Unreadable, match="more than 10 values"):
        load_json(json.dumps(list(range(11))).encode())


def test_yaml_stays_as_written_in_sections_by_its_keys() -> None:
    text = "# Settings\nname: pool\n\n# How long\ntimeout:\n  read: 5  # seconds\n  write: 7\n"
    loaded = load_yaml(text.encode())
    assert loaded.text == text
    assert [section.heading for section in loaded.sections] == ["name", "timeout"]
    start = loaded.sections[1].blocks[0].start
    assert text[start:].startswith("# How long")


def test_a_long_part_of_yaml_is_cut_at_its_second_level() -> None:
    text = "paths:\n" + "".join(f"  /p{n}:\n    get: {'x' * 300}\n" for n in range(8))
    headings = [section.heading for section in load_yaml(text.encode()).sections]
    assert headings[-1] == "paths > /p7"


def test_docbook_and_tei_have_headings_and_paragraphs() -> None:
    loaded = load_xml(
        b'<?xml version="1.0"?><article xmlns="http://docbook.org/ns/docbook"><title>Pool</title><para>Opens at '
        b"<emphasis>nine</emphasis>.</para><section><title>Rules</title><para>No running in the hall.</para>"
        b"<programlisting>a\n  b</programlisting></section></article>"
    )
    assert loaded.title == "Pool"
    assert "Opens at nine." in loaded.text
    assert "a\n  b" in loaded.text
    assert loaded.sections[-1].heading == "Pool > Rules"


def test_records_of_xml_are_a_table_and_settings_are_lines() -> None:
    people = "".join(f'<person id="{n}"><name>Ann {n}</name><age>{n}</age></person>' for n in range(40))
    text = load_xml(f"<people><!-- x -->{people}</people>".encode()).text
    assert "id: 39 | name: Ann 39 | age: 39" in text
    text = load_xml(b'<resources><string name="app">Pool</string><port>80</port><Db host="h"/></resources>').text
    assert text.split("\n")[:3] == ["app: Pool", "port: 80", "Db: host h"]


def test_text_between_elements_is_kept() -> None:
    text = load_xml(b"<a>one <b>two</b> three<c><d>four</d>five</c>six</a>").text
    assert text.split() == "one two three four five six".split()


def test_text_between_the_leaves_of_records_is_kept() -> None:
    rows = "".join(f"<p><ref>FIG. {n}</ref> is view {n}.</p><p><ref>FIG. x{n}</ref></p>" for n in range(5))
    text = load_xml(f"<doc><data><a><b>1</b></a></data><list>{rows}</list></doc>".encode()).text
    assert all(f"FIG. {n} is view {n}." in text for n in range(5))


def test_the_text_of_deep_xml_is_kept() -> None:
    assert load_xml(b"<a>" * 1500 + b"deep" + b"</a>" * 1500).text.strip().endswith("deep")


def test_broken_xml_is_read_as_far_as_it_goes_and_that_is_noted() -> None:
    loaded = load_xml(b"<a><b>one</b>\n<b>two</a>")
    assert "one" in loaded.text
    assert loaded.lost == "its markup is broken in line 2: parts may be missing"
    assert load_xml(b"<a>" * 3000 + b"deep" + b"</a>" * 3000).lost
    assert load_xml(b"<a>&unknown; x</a>").lost == ""


def test_entities_are_not_expanded() -> None:
    bomb = "".join(f'<!ENTITY l{n} "{f"&l{n - 1};" * 10}">' for n in range(1, 9))
    with pytest.raises(Unreadable, match="contain each other"):
        load_xml(f'<!DOCTYPE a [<!ENTITY l0 "ha">{bomb}]><a>&l8;</a>'.encode())
    text = load_xml(b'<!DOCTYPE a [<!ENTITY f SYSTEM "file:///etc/passwd"><!ENTITY v "2.5">]><a>x &f; v&v;</a>').text
    assert "root:" not in text
    assert "v2.5" in text


def test_xml_that_is_none_and_xml_with_too_many_elements_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Unreadable, match="no XML"):
        load_xml(b"Dear Ann")
    monkeypatch.setattr(xml, "MAX_ELEMENTS", 10)
    with pytest.raises(Unreadable, match="more than 10 elements"):
        load_xml(b"<a>" + b"<b/>" * 20 + b"</a>")
    assert (
        "deep"
        in load_xml(b"<a>" * 3000 + b"deep" + b"</a>" * 3000 if False else b"<a>" * 8 + b"deep" + b"</a>" * 8).text
    )


def notebook(*cells: dict[str, object]) -> bytes:
    return json.dumps({"cells": cells, "metadata": {"language_info": {"name": "python"}}, "nbformat": 4}).encode()


def test_a_notebook_has_its_cells_code_and_text_outputs() -> None:
    stream = {"output_type": "stream", "text": ["\x1b[31mred\x1b[0m\n", " 10%\r100%\n"]}
    picture = {"output_type": "display_data", "data": {"image/png": "iVBORw0KG", "text/plain": "<Figure>"}}
    error = {"output_type": "error", "ename": "ValueError", "evalue": "bad", "traceback": ["\x1b[0;31m---"]}
    loaded = load_ipynb(
        notebook(
            {"cell_type": "markdown", "source": ["# Boiler\n", "\n", "See ![x](data:image/png;base64,AAAA) here.\n"]},
            {"cell_type": "code", "source": "def f():\n    return  1", "outputs": [stream, picture, error]},
            {"cell_type": "markdown", "source": "## Next\n\nEnd."},
        )
    )
    assert loaded.title == "Boiler"
    assert loaded.text == (
        "# Boiler\n\nSee x here.\n\n```python\ndef f():\n    return  1\n```\n\n"
        "Output:\n```\nred\n100%\n\nValueError: bad\n```\n\n## Next\n\nEnd.\n\n"
    )
    assert [section.heading for section in loaded.sections] == ["Boiler", "Boiler > Next"]


def test_a_long_output_is_truncated_and_noted() -> None:
    output = {"output_type": "stream", "text": "".join(f"line {n}\n" for n in range(100))}
    loaded = load_ipynb(notebook({"cell_type": "code", "source": "x", "outputs": [output]}))
    assert f"line {MAX_OUTPUT_LINES - 1}\n… (60 more lines of output)" in loaded.text
    assert loaded.note == "60 lines of long outputs are left out"


@pytest.mark.parametrize("data", [b"{}", b"[]", b"{", b'{"cells": 5}', b'{"cells": 5, "worksheets": 7}'])
def test_a_file_that_is_no_notebook_is_refused(data: bytes) -> None:
    with pytest.raises(Unreadable, match="no notebook"):
        load_ipynb(data)


def test_odd_cells_do_not_stop_a_notebook() -> None:
    odd = [
        {},
        {"cell_type": "code"},
        {"cell_type": "code", "source": 5, "outputs": [7, {"data": []}]},
        {"source": None},
    ]
    assert "end" in load_ipynb(notebook(*odd, {"cell_type": "markdown", "source": "end"})).text


def test_subtitles_are_paragraphs_that_begin_with_their_time() -> None:
    srt = (
        "\ufeff1\r\n00:00:01,000 --> 00:00:03,000\r\n<i>The pool opens</i>\r\nat nine.\r\n\r\n"
        "2\r\n00:00:03,000 --> 00:00:05,000\r\n{\\an8}It closes at five.\r\n\r\n"
        "3\r\n01:02:03,500 --> 01:02:05,000\r\n2024\r\n"
    )
    assert load_subtitles(srt.encode()).text == (
        "[00:00:01] The pool opens at nine. It closes at five.\n\n[01:02:03] 2024\n\n"
    )


def test_rolling_captions_are_read_once_and_speakers_named() -> None:
    vtt = (
        "WEBVTT - The pool\n\nNOTE a remark\n\nSTYLE\n::cue {color: red}\n\n"
        "00:01.000 --> 00:02.000 align:start\nthe pool opens\n\n00:02.000 --> 00:03.000\nthe pool opens\n"
        "at<00:02.500><c> nine</c>\n\nid-3\n00:03.000 --> 00:04.000\n<v Ann>Tom &amp; I swim.</v>\n"
    )
    loaded = load_subtitles(vtt.encode())
    assert loaded.title == "The pool"
    assert loaded.text == "[00:00:01] the pool opens at nine\nAnn: Tom & I swim.\n\n"


def test_subtitles_without_a_time_are_read_as_text() -> None:
    assert load_subtitles(b"Just words.\n").note == "it has no time stamps: read as text"
