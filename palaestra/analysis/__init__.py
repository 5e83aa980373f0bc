"""What a change did, and whether it was more than chance."""
