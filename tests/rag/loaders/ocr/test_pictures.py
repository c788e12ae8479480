"""Pictures and scanned pages, with a fake engine and, where the extra is installed, with the real one."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import PurePosixPath

import pypdfium2
import pytest
from PIL import Image

from pdfs import make_pdf
from pictures import draw_picture, encode, needs_ocr
from rag.errors import Unreadable
from rag.ingest.parse_cache import ParseCache
from rag.loaders.builder import LoadedText
from rag.loaders.formats import LOADERS, is_illustration
from rag.loaders.ocr import extra, pictures
from rag.loaders.ocr.engine import LONG_SIDE, Recognise
from rag.loaders.ocr.pictures import load_picture
from rag.loaders.pdf.layout import Line, Segment
from rag.loaders.pdf.pages import load_pdf


def engine(*texts: str) -> Callable[[], Recognise]:
    """Return a fake engine that recognises these texts, one a picture; each line is as long as the picture's width."""
    left, sizes = list(texts), []

    def recognise(picture) -> list[Line]:
        height, width, colours = picture.shape
        assert colours == 3
        sizes.append((width, height))
        text = left.pop(0)
        return [Line([Segment(text, 0, width, height - 20, height)])] if text else []

    recognise.sizes = sizes
    return lambda: recognise


def scan(*texts: str) -> bytes:
    return encode([draw_picture(text, size=(620, 877)) for text in texts], "PDF", resolution=75)


def no_engine() -> None:
    return None


def test_a_picture_is_one_section_that_is_marked_as_recognised() -> None:
    loaded = load_picture(encode(draw_picture()), engine("Invoice 4711"))
    assert loaded.text.strip() == "Invoice 4711"
    assert [(section.heading, section.page) for section in loaded.sections] == [("recognised text", None)]
    assert loaded.note == "by text recognition"


def test_each_page_of_a_tiff_is_a_section_with_its_number() -> None:
    loaded = load_picture(encode([draw_picture()] * 3, "TIFF"), engine("One.", "", "Three."))
    assert loaded.text.split() == ["One.", "Three."]
    assert [section.page for section in loaded.sections] == [1, 2, 3]


def test_a_picture_without_the_extra_says_what_to_install() -> None:
    with pytest.raises(Unreadable, match=r"pip install 'thumbtune\[ocr\]'"):
        load_picture(encode(draw_picture()), no_engine)


def test_a_picture_without_text_and_a_damaged_one_are_refused() -> None:
    with pytest.raises(Unreadable, match="no text was recognised"):
        load_picture(encode(draw_picture()), engine(""))
    with pytest.raises(Unreadable, match="damaged"):
        load_picture(encode(draw_picture("x"))[:-200], engine("x"))
    with pytest.raises(Unreadable, match="damaged"):
        load_picture(b"\x89PNG\r\n\x1a\n" + bytes(100), engine("x"))


def test_a_picture_bomb_is_refused_before_it_is_unpacked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pictures, "MAX_PIXELS", 1_000_000)
    bomb = encode(Image.new("1", (1_100, 1_000)))
    with pytest.raises(Unreadable, match=r"too large: 1,100 x 1,000 pixels, the limit is 1 million"):
        load_picture(bomb, engine("x"))


def test_a_photograph_is_turned_as_its_camera_was_held() -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by 90 degrees
    find = engine("x")
    load_picture(encode(draw_picture(size=(400, 300)), "JPEG", exif=exif), find)
    assert find().sizes == [(300, 400)]


@pytest.mark.parametrize("mode", ["1", "L", "P", "LA", "RGBA", "CMYK", "I;16", "I", "F"])
def test_pictures_of_all_colour_modes_are_read(mode: str) -> None:
    picture = draw_picture("x", size=(200, 100)).convert("L")
    kind = "TIFF" if mode in ("CMYK", "I", "F") else "PNG"
    picture = Image.new("I;16", (200, 100), 900) if mode == "I;16" else picture.convert(mode)
    assert load_picture(encode(picture, kind), engine("x")).text.strip() == "x"


def test_what_is_transparent_is_white() -> None:
    seen = []

    def recognise(picture) -> list[Line]:
        seen.append(picture.mean())
        return [Line([Segment("x", 0, 1, 0, 1)])]

    load_picture(encode(Image.new("RGBA", (100, 100), (0, 0, 0, 0))), lambda: recognise)
    assert seen == [255]


def test_a_large_picture_is_scaled_down_and_a_tall_one_read_in_strips() -> None:
    find = engine("x", "top", "middle", "bottom")
    load_picture(encode(Image.new("L", (4_000, 3_000), 255)), find)
    loaded = load_picture(encode(Image.new("L", (500, 2_000), 255)), find)
    assert find().sizes[0] == (LONG_SIDE, LONG_SIDE * 3 // 4)
    assert sum(height for _, height in find().sizes[1:]) == 2_000
    assert loaded.text.split() == ["top", "middle", "bottom"]


def test_only_the_pages_of_a_pdf_that_are_pictures_are_recognised() -> None:
    loaded = load_pdf(scan("a", "b"), engine("First page.", "Second page."))
    assert [(section.heading, section.page) for section in loaded.sections] == [("recognised text", n) for n in (1, 2)]
    assert (loaded.note, loaded.lost) == ("2 of its 2 pages by text recognition", "")
    written = load_pdf(make_pdf("A page of text."), engine())
    assert ([section.heading for section in written.sections], written.note) == ([""], "")


def test_a_scanned_page_where_nothing_is_recognised_is_taken_for_empty() -> None:
    loaded = load_pdf(scan("a", "b", "c"), engine("First page.", "", "Third page."))
    assert (loaded.lost, loaded.note) == ("", "2 of its 3 pages by text recognition")


def test_a_scan_with_a_stamp_on_it_is_recognised_and_its_stamp_kept_where_nothing_is() -> None:
    pdf, data = pypdfium2.PdfDocument(scan("a")), BytesIO()
    with_text = pypdfium2.PdfDocument(make_pdf("Received"))
    page, stamped = pdf[0], pypdfium2.PdfDocument.new()
    stamped.import_pages(with_text)
    over = stamped[0]
    width, height = over.get_size()
    picture = next(page.get_objects([pypdfium2.raw.FPDF_PAGEOBJ_IMAGE]))
    copy = pypdfium2.PdfImage.new(stamped)
    copy.set_bitmap(picture.get_bitmap())
    copy.set_matrix(pypdfium2.PdfMatrix().scale(width, height))
    over.insert_obj(copy)
    over.gen_content()
    stamped.save(data)
    assert load_pdf(data.getvalue(), engine("Received, and a letter.")).text.strip() == "Received, and a letter."
    assert load_pdf(data.getvalue(), engine("")).text.strip() == "Received"
    assert "page 1 of 1 is hardly more than a picture" in load_pdf(data.getvalue(), no_engine).lost


def test_without_the_extra_a_scan_says_what_to_install() -> None:
    with pytest.raises(Unreadable, match=r"its pages are images: .*pip install 'thumbtune\[ocr\]'"):
        load_pdf(scan("a"), no_engine)


def test_recognised_lines_of_a_pdf_are_placed_in_points() -> None:
    """A header that is repeated on each page is found by its height in points."""
    find = engine("ACME Trust", "ACME Trust", "ACME Trust")
    load_pdf(scan("a", "b", "c"), find)
    assert all(max(size) <= LONG_SIDE for size in find().sizes)


def test_illustrations_are_no_documents() -> None:
    left_out = ["images/a.png", "guide/_static/b.JPG", "Assets/x/c.webp"]
    documents = ["a.png", "letters/b.jpg", "images/scan.tif", "images/text.md"]
    assert [is_illustration(PurePosixPath(path)) for path in left_out + documents] == [True] * 3 + [False] * 4


def test_a_time_limit_grows_with_the_pictures_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = [draw_picture("x", size=(60, 80))] * 3
    for installed, per_page in ((True, extra.SECONDS_PER_PICTURE), (False, 0)):
        monkeypatch.setattr(extra, "find_spec", lambda name, found=installed: name if found else None)
        assert extra.seconds_for(encode(pages, "PDF")) == 3 * per_page
        assert extra.seconds_for(encode(pages, "TIFF")) >= per_page
        assert extra.seconds_for(make_pdf("A page of text.")) == extra.seconds_for(b"text") == 0
        assert extra.seconds_for(b"%PDF-1.7" + b"/Subtype/Image" * 1000) == (extra.MOST_SECONDS if installed else 0)


def test_what_was_parsed_without_the_extra_is_parsed_again_with_it(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache, data = ParseCache(tmp_path), make_pdf("A page of text.")
    for installed, entries in ((False, 1), (True, 2), (True, 2)):
        monkeypatch.setattr(extra, "find_spec", lambda name, found=installed: name if found else None)
        cache.write(".pdf", data, LoadedText("A page of text.", ()))
        assert cache.read(".pdf", data)
        assert len(list(tmp_path.iterdir())) == entries


@needs_ocr
class TestWithTheEngine:
    """Each picture takes a second or two."""

    def read(self, picture: Image.Image) -> LoadedText:
        return LOADERS[".png"](encode(picture))

    @pytest.mark.parametrize("turn", [4, 90, 180, 270])
    def test_a_tilted_or_turned_page_is_read(self, turn: int) -> None:
        lines = ["The harbour office opens", "at seven in the morning.", "Boats pay 12.50 a night."]
        assert self.read(draw_picture(*lines, turn=turn)).text.split("\n")[:3] == lines

    def test_a_scanned_pdf_is_read(self) -> None:
        loaded = LOADERS[".pdf"](scan("Invoice 4711", "Total 83.50"))
        assert loaded.text.split("\n\n")[:2] == ["Invoice 4711", "Total 83.50"]

    def test_a_picture_without_letters_has_no_text(self) -> None:
        with pytest.raises(Unreadable, match="no text was recognised"):
            self.read(Image.new("RGB", (300, 200), "white"))

    def test_a_pdf_named_as_a_picture_is_read_as_what_it_is(self) -> None:
        assert LOADERS[".png"](make_pdf("A page of text.")).note == "by its content it is PDF"
