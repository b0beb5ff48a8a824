"""HTTP: admission, decoding, batching, answers. Never imports torch."""
