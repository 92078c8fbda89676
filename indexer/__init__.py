"""The vector index: ids and vectors in, nearest ids out; a projection that can be made again."""
