"""The operator of LLMTrainingJob: decides purely, writes in one place, survives its own death."""
