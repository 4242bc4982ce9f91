"""Any graph to the start of a manifest: what the graph says, what was measured, what was guessed, what is unknown."""
