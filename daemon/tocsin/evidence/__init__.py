"""What the camera saw: pictures and clips of an alarm, made from the camera's own packets."""
