"""Pure array work: codec (bytes to photo), canvas, edges, composite, shadow, deliver. Import the module you need."""
