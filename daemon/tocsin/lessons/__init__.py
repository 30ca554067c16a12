"""What people said about alarms, as data sets to train a detector with and to evaluate it on."""
