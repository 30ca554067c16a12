"""What a camera shows, tried once and within a time limit; for people, the daemon does not know it."""
