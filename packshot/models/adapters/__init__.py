"""Adapter files: a LoRA or a textual inversion in its published layouts, read without pickle and without torch."""
