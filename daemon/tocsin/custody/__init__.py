"""What is kept of alarms: had made, kept for a time, told to receivers, and who looked at it."""
