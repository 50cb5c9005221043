"""Where a conversion of a model differs from its source, layer by layer."""
