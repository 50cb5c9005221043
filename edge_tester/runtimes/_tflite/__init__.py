"""What serves the runtime of TFLite files."""
