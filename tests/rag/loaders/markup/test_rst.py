"""reStructuredText: titles, roles, directives, code, tables; no file is read."""

from __future__ import annotations

import pytest

from rag.loaders.markup.rst import load_rst

PAGE = b"""=====
Guide
=====

:Date: 2026-05-31

Install
=======

Use :func:`~os.path.join` and :ref:`the guide <target>` with ``Flask(__name__)``.

.. code-block:: python
   :linenos:

   app = Flask(__name__)

     x  =  1

.. py:function:: spam(a, *b)

   Eats spam.

.. include:: /etc/passwd

.. raw:: html

   <b>evil</b>

.. a comment

.. note:: Mind the gap.

===  ====
Ink  Cost
===  ====
red  3
===  ====
"""


def test_titles_roles_directives_code_and_tables_are_read() -> None:
    loaded = load_rst(PAGE)
    assert (loaded.title, loaded.date) == ("Guide", "2026-05-31")
    assert loaded.sections[-1].heading == "Guide > Install"
    assert "## Install\n\nUse os.path.join and the guide with `Flask(__name__)`." in loaded.text
    assert "```\napp = Flask(__name__)\n\n  x  =  1\n```" in loaded.text
    assert "spam(a, *b)\n\nEats spam." in loaded.text
    assert "Note\n\nMind the gap." in loaded.text
    assert "| red | 3 |" in loaded.text


def test_no_file_that_a_document_names_is_read() -> None:
    loaded = load_rst(PAGE)
    assert "root:" not in loaded.text
    assert "evil" not in loaded.text
    assert "comment" not in loaded.text
    assert loaded.note == "files that it names are not part of it: /etc/passwd"
    table = b"Cats\n====\n\n.. csv-table::\n   :file: /etc/passwd\n\nEnd.\n"
    assert "root:" not in load_rst(table).text


@pytest.mark.parametrize("before", [":orphan:\n:tocdepth: 2\n\nCats\n====\n", "Cats\n====\n\n:orphan:\n:nosearch:\n"])
def test_what_a_page_tells_sphinx_is_no_text(before: str) -> None:
    loaded = load_rst(f"{before}\nThey sleep.\n\n:kept: yes\n".encode())
    assert loaded.text == "# Cats\n\nThey sleep.\n\nkept: yes\n\n"


def test_the_code_of_an_extensions_directive_stays_exact_and_its_prose_stays_prose() -> None:
    loaded = load_rst(
        b"Guide\n=====\n\n.. click:example::\n\n   @click.command()\n   def hello(name):\n"
        b"       click.echo(f'Hi\\n{name}')\n\n.. click:run::\n\n   invoke(hello, args=['--help'])\n\n"
        b".. click:example::\n\n   # Quiet\n   @cli.command()\n   def quiet():\n"
        b'       """Say nothing, in words that\n       fill three lines\n'
        b'       of prose `here`."""\n\n.. tip-of-day::\n\n   Oil the blade (in spring).\n   Then wipe it dry.\n'
    )
    assert "```\n@click.command()\ndef hello(name):\n    click.echo(f'Hi\\n{name}')\n```" in loaded.text
    assert "```\ninvoke(hello, args=['--help'])\n```" in loaded.text
    assert '```\n# Quiet\n@cli.command()\ndef quiet():\n    """Say' in loaded.text
    assert "Oil the blade (in spring). Then wipe it dry." in loaded.text
