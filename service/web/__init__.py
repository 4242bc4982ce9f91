"""HTTP: routes, uploads, problems. The only place that knows FastAPI."""
