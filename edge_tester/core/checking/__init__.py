"""Whether a converted model is still the model: what differs, where, and what helps."""
