"""The segmenter: it encodes a photo to an embedding, and decodes prompts to masks."""
