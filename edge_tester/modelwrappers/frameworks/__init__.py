"""What the model wrappers of one framework share."""
