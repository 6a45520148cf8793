"""The report's drawing: distributions, image panels, words and page; reads no configuration."""
