"""What knows argv: one sub-command a stage or tool, imported only when it runs."""
