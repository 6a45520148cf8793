"""The loop: step, validate with its own small measure, checkpoint, resume; talks to recorders."""
