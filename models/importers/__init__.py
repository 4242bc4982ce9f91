"""Models exported elsewhere to bundles: `python -m models import ...`. README.md has an example of each family."""
