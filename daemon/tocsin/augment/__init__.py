"""A labelled data set in, the same pictures over a range of light out: what a detector learns from."""
