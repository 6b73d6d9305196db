"""What a Go service gets from loadline in a container's limits. Each module is a part of the benchmark."""
