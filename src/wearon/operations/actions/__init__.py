"""What operators may do, for the command line and the console: each action with its entry in the audit log."""
