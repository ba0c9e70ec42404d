"""What the pages need beyond Sphinx: each module is one Sphinx extension."""
