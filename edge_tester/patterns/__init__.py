"""When inferences begin and what of them is a result, one file each."""
