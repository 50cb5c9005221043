"""What a benchmark came to: the parts of a record, its figures, and the words for them."""
