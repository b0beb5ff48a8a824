"""The network, its inference path, training, evaluation and checkpoints. Never imports service."""
