"""What serves the compilers of TFLite files."""
