"""Fuzzing of all that reads what strangers send: `make fuzz` (run.py); what was found is in corpus/."""
