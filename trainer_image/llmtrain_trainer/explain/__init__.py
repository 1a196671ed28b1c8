"""What a trained model makes of single texts: losses, attributions, and the training documents nearest by."""
