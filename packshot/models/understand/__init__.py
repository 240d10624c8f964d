"""The product's geometry: normals and depth of a cutout."""
