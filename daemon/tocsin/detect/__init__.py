"""From corrected views to detections."""

import os

# ONNX Runtime's official builds for Linux send telemetry since 1.29, and keep a device id and a database in the
# user's home from the moment they are imported. A surveillance daemon tells nobody what it runs.
os.environ["ORT_DISABLE_TELEMETRY"] = "1"
