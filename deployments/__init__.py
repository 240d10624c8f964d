"""The Ray Serve deployments, one file each: thin shells over packshot. The defaults suit one CPU machine (`laptop`).

A click passes `gateway` -> `sam_encoder` -> `mask_decoder`; words ask `detector` between the two. A shot passes
`gateway` -> `director` -> `finisher` -> `canny` -> `generator` -> `finisher`; one that needs geometry also asks
`understand`.
"""
