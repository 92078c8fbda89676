"""From samples to what the networks read: log-mel frames, and the windows of a track."""
