"""What serves the compiler of TVM alone."""
