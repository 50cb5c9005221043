"""What serves the compiler of Core ML alone."""
