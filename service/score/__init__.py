"""`braid score`: a table in, a table out; what serving does with one request, done with a million rows."""
