"""Motion: a short clip from one finished picture, by a camera that moves before it (2.5-D).

    picture ──clean plate──> scene ──camera, disparity──> moved scene ─┐
    layout ─────────────────> product ──camera──> moved product ───────┴─> frame -> WebP or MP4

The product is one rigid layer: the camera moves and scales it, and nothing warps it. The scene behind it moves by its
disparity. Nothing is painted anew: what the product hid is filled from the pixels beside it, so moves are small.

Disparity is how near a point is, relative to the product: 1 = as far as the product's base, 0 = infinitely far, above
1 = nearer than the product.
"""
