"""What a quantization costs, looked at before anything is measured on a target."""
