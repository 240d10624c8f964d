"""Image processing on arrays: codec, canvas, edges, composite and shadow. Import the module that you need."""
