"""What the daemon notices about itself and its streams, and how it tells once that it begins and ends."""
