"""File formats below the readers: MATLAB, protocol buffers, pickles, safetensors."""
