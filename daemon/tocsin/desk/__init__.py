"""What the running daemon answers at its control socket: a module for each subject that commands ask about."""
