"""One file, one Ray Serve deployment: thin shells over packshot. Defaults here suit one CPU machine (profile `laptop`).

`gateway` -> `sam_encoder` -> `mask_decoder` answer clicks; `gateway` -> `director` -> `canny` -> `generator` make pictures.
"""
