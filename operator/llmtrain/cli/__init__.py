"""The command line: one file a group of verbs. What is printed is decided in `llmtrain.render`."""
