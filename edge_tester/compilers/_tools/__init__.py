"""Scripts that run in environments of their own, where nothing of edge_tester is."""
