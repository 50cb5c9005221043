"""What meters of the kernel's files share."""
