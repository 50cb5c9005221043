"""What serves the runtime of TVM."""
