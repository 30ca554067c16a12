"""From detections to alarms; pure."""
