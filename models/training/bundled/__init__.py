"""The bundled model from nothing with one command: `muquery train bundled`."""
