"""The local cloud: an emulator in a child process, its data directory, and the deployment to it."""
