"""ONNX files: read, fixed to one shape, made smaller, handed to Relax, and what they compute."""
