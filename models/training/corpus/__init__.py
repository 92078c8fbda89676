"""The corpus: freely licensed recordings and renders, fetched, checked, captioned and split."""
