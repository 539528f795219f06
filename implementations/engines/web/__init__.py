"""Engines of the web, in Node.js: TensorFlow.js and ONNX Runtime Web."""
