"""What counts on the target beside time and memory, one file each."""
