"""AutoGluon-MultiModal: a predictor's folder and its ONNX export to a bundle."""
