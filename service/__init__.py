"""Serves bundles (multimodal ONNX models) over REST. Imports neither torch nor models/."""

__version__ = "0.1.0"
