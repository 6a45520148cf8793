"""Results as people read them: tables, distributions, image panels, words and the page."""
