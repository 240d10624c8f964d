"""The names in a running training's folder that its worker and its process share. It imports nothing."""

ORDER, ERROR, OUT, PICTURES = "order.json", "error.json", "out", "pictures"
