"""Light: how a scene is lit, and the shadow, the reflection and the shading that the product gets from it.

Directions are in degrees, clockwise on the canvas: 0 = away from the viewer (up), 90 = right, 180 = towards the viewer
(down), 270 = left. The direction of a light is the direction in which its shadows fall.
"""
