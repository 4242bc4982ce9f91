"""The same tables without torch: TF-IDF and statistics of pictures and sounds, scikit-learn, one graph of ONNX."""
