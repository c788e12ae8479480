"""LEARN: pairs -> split -> negatives -> tune -> evaluate -> promote."""
