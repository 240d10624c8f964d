"""One file, one Ray Serve deployment: thin shells over packshot. Defaults here suit one CPU machine (profile `laptop`).

Clicks go `gateway` -> `sam_encoder` -> `mask_decoder`. Pictures go `gateway` -> `director` -> `finisher` -> `canny` ->
`generator` -> `finisher`.
"""
