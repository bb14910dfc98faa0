"""What stands on a report: one module per notebook, which calls it cell by cell."""
