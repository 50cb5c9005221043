"""What everything stands on: options, roles, wire, measurements."""
