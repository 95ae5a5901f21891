"""What each layer computes."""
