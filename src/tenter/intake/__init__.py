"""What `check` finds out about a cohort before the first job."""
