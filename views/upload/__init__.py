"""The page Your own MRI."""
