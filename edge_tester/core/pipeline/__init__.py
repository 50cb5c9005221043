"""From a model to a decision: the phases of an edge evaluation, each with its evidence."""
