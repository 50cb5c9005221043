"""What serves the runtimes of PyTorch."""
