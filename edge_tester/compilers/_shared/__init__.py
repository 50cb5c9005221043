"""What several compilers need."""
