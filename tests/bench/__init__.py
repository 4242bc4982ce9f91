"""What Braid costs: by stage, `pytest tests/bench/stages.py`, and beside its peers, `python -m tests.bench.compare`.

Nothing here decides a test: figures depend on the machine and on who else uses it.
"""
