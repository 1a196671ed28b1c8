"""The loop around the decision: keys in, observe, plan, apply, again."""
