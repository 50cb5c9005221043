"""What serves the runtime of OpenVINO."""
