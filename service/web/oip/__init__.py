"""The Open Inference Protocol (v2) over HTTP, as Triton, KServe and their clients speak it.

Source: kserve/open-inference-protocol, specification/protocol/inference_rest.md, and Triton's extensions
binary_tensor_data, classification, model_repository and statistics.
"""
