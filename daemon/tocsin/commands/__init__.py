"""What people type about a daemon: a module for each subject, named as the one in `desk` that answers."""
