"""From slices to probabilities: engines, their conversion and the segmenter."""
