"""What strangers, clients, models and links do to an agent; it must take no harm of any of it."""
