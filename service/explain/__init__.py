"""Why an answer is what it is: what each part contributed (shapley.py), and where in a part it lies (occlusion.py)."""
