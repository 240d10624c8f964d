"""Path-traced product pictures: modelled objects in photographed light, with every label a training needs."""
