"""The service: HTTP, SQL, blobs, jobs. The only place where models and indexer meet."""
