"""The checkpoints that ship with the project, one safetensors file and one card each."""
