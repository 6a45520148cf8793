"""The command line: one sub-command per stage or tool, imported only when it runs."""
