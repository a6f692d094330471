"""What other catalogs, tools and papers read of a version: Croissant, the Hub's dataset card, CITATION.cff, schema.org."""
