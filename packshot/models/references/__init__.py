"""Reference pictures: a network that embeds them, and the adapter by which a UNet follows them."""
