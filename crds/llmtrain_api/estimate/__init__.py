"""What a job needs: parameters, saved activations, memory, and the ZeRO stage that follows."""
