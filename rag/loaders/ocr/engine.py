"""Recognise the text of a picture with RapidOCR, whose models are in its wheel: nothing is downloaded.

Why the orientation is decided for the whole page: of single short lines its classifier turns some that stand upright.
Models: PP-OCRv6 small (https://github.com/PaddlePaddle/PaddleOCR), Latin letters, Chinese and Japanese. Text in other
scripts comes out as wrong letters or not at all.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rag.loaders.ocr.extra import is_installed
from rag.loaders.ocr.reading_order import Box, in_reading_order
from rag.loaders.pdf.layout import Line

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Picture = NDArray[np.uint8]

RECOGNISED = "recognised text"  # heading of sections that come from OCR, so that readers know
LONG_SIDE = 2000  # pixels, to which pictures are scaled down: 170 dpi for A4, beyond which the models gain nothing
MIN_SCORE = 0.5  # of the recogniser, 0 to 1: below it a line is a drawing or a pattern, or of another script
MOST_THREADS = 4  # of one picture; more gain little
SIDEWAYS = 1.5  # height by width of a box, above which its line runs up or down
Recognise = Callable[["Picture"], list[Line]]
_lock = threading.Lock()  # RapidOCR keeps what it works on in its objects


def recogniser() -> Recognise | None:
    """Return the function that recognises text, None without the extra `ocr`."""
    return recognise if is_installed() else None


def recognise(picture: Picture) -> list[Line]:
    """Return the lines of a picture in reading order.

    `picture` has shape (height, width, 3), blue first, and at most LONG_SIDE pixels a side. Places are in its pixels,
    from the lower left of the picture as it is read: turned upright where the text ran sideways or upside down.
    """
    with _lock:
        boxes = _boxes(_engine(), picture)
    return in_reading_order(boxes)


def _boxes(engine: Any, picture: Picture) -> list[Box]:  # noqa: ANN401  # RapidOCR's methods are hardly typed
    """Return the recognised boxes: corners with y upwards, and their text."""
    import numpy as np

    corners, crops = _detect(engine, picture)
    if _length(corners, sideways=True) > _length(corners, sideways=False):
        picture = np.ascontiguousarray(np.rot90(picture))
        corners, crops = _detect(engine, picture)
    if not crops:
        return []
    is_over = _is_upside_down(engine.cls_and_rotate(crops)[1].cls_res, crops)
    result = engine.recognize_txt([np.ascontiguousarray(np.rot90(crop, 2)) for crop in crops] if is_over else crops)
    height, width = picture.shape[:2]
    found = []
    for quad, text, score in zip(corners, result.txts, result.scores, strict=True):
        if score >= MIN_SCORE and text.strip():
            points = [(width - x, y) if is_over else (x, height - y) for x, y in quad.tolist()]
            found.append(Box(" ".join(text.split()), tuple(points[2:] + points[:2] if is_over else points)))
    return found


def _detect(engine: Any, picture: Picture) -> tuple[Sequence[Any], list[Picture]]:  # noqa: ANN401
    """Return the corners of the lines of text, n arrays of shape (4, 2), and each as a picture of its own."""
    from rapidocr.main import RapidOCRError
    from rapidocr.utils.process_img import map_boxes_to_original

    done: dict[str, Any] = {}
    try:
        crops, found = engine.detect_and_crop(picture, done)
    except RapidOCRError:  # it finds no text
        return [], []
    return list(map_boxes_to_original(found.boxes, done, *picture.shape[:2])), crops


def _length(corners: Sequence[Any], *, sideways: bool) -> float:
    """Return the length of all lines that run sideways, or of all others, in pixels."""
    sizes = [(quad[:, 0].max() - quad[:, 0].min(), quad[:, 1].max() - quad[:, 1].min()) for quad in corners]
    return float(sum(max(size) for size in sizes if (size[1] > SIDEWAYS * size[0]) == sideways))


def _is_upside_down(votes: Sequence[tuple[str, float]], crops: Sequence[Picture]) -> bool:
    """Return whether the classifier takes most of the text for turned by 180 degrees, long lines counting most."""
    balance = sum(
        (score if "180" in label else -score) * crop.shape[1] for (label, score), crop in zip(votes, crops, strict=True)
    )
    return bool(balance > 0)


@cache
def _engine() -> Any:  # noqa: ANN401
    """Load the models, 1 to 3 seconds."""
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"  # as in rag.models.onnx_embedder
    import rapidocr

    models = Path(rapidocr.__file__).parent / "models"
    paths = {  # named, so that nothing is looked up or fetched
        "Det.model_path": "PP-OCRv6_det_small.onnx",
        "Cls.model_path": "ch_ppocr_mobile_v2.0_cls_mobile.onnx",
        "Rec.model_path": "PP-OCRv6_rec_small.onnx",
    }
    return rapidocr.RapidOCR(
        params={
            "Global.log_level": "critical",
            "EngineConfig.onnxruntime.intra_op_num_threads": _threads(),
            "EngineConfig.onnxruntime.enable_cpu_mem_arena": True,  # a fifth of the time less
            "Rec.rec_batch_num": 1,  # as fast as 6, which are padded to the longest line
            **{name: str(models / file) for name, file in paths.items()},
        }
    )


def _threads() -> int:
    wanted = os.environ.get("OMP_NUM_THREADS", "").partition(",")[0]
    if wanted.isdigit() and int(wanted):
        return int(wanted)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(MOST_THREADS, cores)
