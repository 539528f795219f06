"""ONNX models, and the engines that are handed them."""
