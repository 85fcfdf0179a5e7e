"""Train the network: settings, sampling, augmentation, the loop and its run folder."""
