"""What the panels share: jobs, film strip, sample grid, theme."""
