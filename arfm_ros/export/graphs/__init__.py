"""From torch to ONNX graphs."""
