"""A table of one's own to a bundle: recipe, check, training, evaluation, card, graph. `python -m models new` begins."""
