"""What the panels share: their widgets, figures and theme, jobs, tabs, and how they are saved."""
