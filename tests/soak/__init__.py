"""A server under mixed load for as long as one likes, with swaps and kills: see run.py."""
