"""How well a detector sees under which light: labelled footage in, scores out. The daemon does not import it."""
