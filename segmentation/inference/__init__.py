"""Prediction: load a model once; patches and whole scenes."""

import sys

# OpenVINO reports over the internet that it is imported, if it finds this package.
sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
