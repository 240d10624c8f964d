"""Decoding of untrusted files: the parent's side (`photo_decoder`), and the process that decodes (`worker`).

The worker imports only its own modules, `messages` and what opens a file, so this package imports nothing by itself.
"""
