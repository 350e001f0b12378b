"""How fast a bundle runs here, beside how fast its graphs could."""
