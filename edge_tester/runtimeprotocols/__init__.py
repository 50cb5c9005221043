"""Links between host and target, one file each."""
