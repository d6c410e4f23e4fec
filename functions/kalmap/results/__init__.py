"""From decisions to answers: result lines, and the steps' reports summed to a summary."""
