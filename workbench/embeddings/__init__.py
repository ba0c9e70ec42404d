"""Class embeddings (BigGAN-AM): the map of all classes, and repairing one class by its embedding alone."""
