"""What passes between host and target: frames, states, payloads, and messages over a connection."""
