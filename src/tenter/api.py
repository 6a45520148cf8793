"""The few names that a notebook imports. They load when they are first used."""
