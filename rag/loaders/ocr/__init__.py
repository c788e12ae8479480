"""Text recognition (OCR) for pictures and scanned pages; needs the extra `ocr`.

extra          whether it is installed
engine         a picture -> lines of text, by RapidOCR's models for Latin letters, Chinese and Japanese
reading_order  recognised boxes -> lines in reading order: tilt, rows, columns
pictures       PNG, JPEG, TIFF and WebP files
"""
