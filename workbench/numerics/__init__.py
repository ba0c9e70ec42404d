"""What several of the methods lean on: Jacobians and their spectra, projections, penalties, seeds, memory."""
