"""What needs no Longhaul: test_words.py tries it with plain Python."""


def count(line):
    return len(line.split())
