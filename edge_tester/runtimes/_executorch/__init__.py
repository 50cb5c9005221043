"""What serves the runtime of ExecuTorch."""
