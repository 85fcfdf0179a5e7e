"""What the page How it works computes."""
