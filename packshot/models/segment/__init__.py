"""The segmenter: photo to embedding, prompts to masks."""
