"""An export of Hugging Face's tools to a bundle: its layout, its processors, its task; written by `convert`."""
