"""Generative boundaries: what carries an image in a layer, and samples inside its region."""
