"""The quality of a pack's pictures: held-out products in scenes, painted, inspected, and painted again where asked."""
