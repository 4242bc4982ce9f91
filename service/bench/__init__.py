"""`braid bench URL`: a load generator for multimodal requests. Knows the wire only, nothing of the server's insides."""
