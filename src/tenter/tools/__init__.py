"""Commands that people run besides the workflow, and what the workflow shows to them."""
