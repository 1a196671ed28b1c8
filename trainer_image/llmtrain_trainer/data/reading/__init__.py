"""From files to texts, in a fixed order and in bounded memory: which files, which bytes, which documents."""
