"""Finding things in pictures: a one-stage and a two-stage detector, their training, and the metric they are held to."""
